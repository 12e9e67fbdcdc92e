"""Tiny language models, all the way to a recommendation: T5 on two languages, GPT-2 on completions, Llama on chats."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from checkpoints import Checkpoints, chats, language_recipe, table, translations
from commands import Ran, contents, foretaste, refused
from foretaste.evaluate import evaluate
from foretaste.loading import load
from foretaste.recipe import read
from foretaste.store.study import StudyStore

METRICS = "metrics: [perplexity, token_accuracy, exact_match, bleu, chrf]"


@dataclass(frozen=True)
class Flow:
    """A recipe that ran, and what it printed."""

    recipe: Path
    study: Path
    ran: Ran

    @property
    def found(self) -> dict[str, object]:
        document = json.loads(self.ran.out)
        assert isinstance(document, dict)
        return document


def tongues(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Two tongues; the second says everything twice."""
    for name, shift, times in (("near", 1, 1), ("far", 3, 2)):
        for part, count in (("", 20), ("_validation", 6)):
            rows = [
                {**row, "target": " ".join([row["target"]] * times)}
                for row in translations(count, shift + count, shift)
            ]
            table(folder / f"{name}{part}.jsonl", rows)
    return {name: (Path(f"{name}.jsonl"), Path(f"{name}_validation.jsonl")) for name in ("near", "far")}


def run(folder: Path, checkpoint: Path, kind: str, task: str, model: str, **parts: str) -> Flow:
    recipe = language_recipe(folder / "tiny.yaml", checkpoint, kind, tongues(folder), task, model, **parts)
    ran = foretaste("run", recipe, "--study", folder / "study", "--json")
    assert ran.code == 0, ran.err
    return Flow(recipe, folder / "study", ran)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Flow:
    return run(tmp_path_factory.mktemp("t5"), checkpoints.t5, "seq2seq", METRICS, "max_new_tokens: 12")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Flow:
    """Every example counts the same, and the headline is a metric where more is better."""
    folder = tmp_path_factory.mktemp("gpt2")
    task = "prompt: source, completion: target, metrics: [token_accuracy, perplexity]"
    return run(
        folder,
        checkpoints.gpt2,
        "causal-lm",
        task,
        "unit: example",
        preview="{points: 3, methods: [simple, diagonal, kronecker]}",
    )


@pytest.fixture(params=["t5", "gpt2"])
def flow(request: pytest.FixtureRequest) -> Flow:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Flow)
    return found


def test_the_recommendation_is_the_best_preview_and_confirmed(flow: Flow) -> None:
    found = json.loads(flow.ran.out)
    weights, metric = found["recommendation"]["weights"], found["tasks"]["near"]["metric"]
    better = min if metric == "perplexity" else max
    assert found["tasks"]["far"]["higher_is_better"] == (metric != "perplexity")
    rows = [row for row in found["rows"] if row["fidelity"] == "preview" and row["method"] == found["method"]]
    means = {
        tuple(row["weights"].values()): sum(row["metrics"][task][metric] for task in ("near", "far")) for row in rows
    }
    assert means[tuple(weights.values())] == pytest.approx(better(means.values()))
    assert any(row["weights"] == weights and row["fidelity"] == "joint" for row in found["rows"])
    assert found["agreements"]
    assert all(len(each["error"]) == 2 for each in found["agreements"])


def test_rows_have_every_metric(t5: Flow) -> None:
    for row in json.loads(t5.ran.out)["rows"]:
        for each in row["metrics"].values():
            assert list(each) == ["loss", "perplexity", "token_accuracy", "exact_match", "bleu", "chrf"]
            assert each["perplexity"] == pytest.approx(torch.tensor(each["loss"]).double().exp().item())
            assert 0 <= each["exact_match"] <= each["token_accuracy"] <= 1


def test_the_unit_is_told_and_joint_runs_keep_it(t5: Flow, gpt2: Flow) -> None:
    provenance = [json.loads(flow.ran.out)["provenance"] for flow in (t5, gpt2)]
    assert [each["unit of the loss"] for each in provenance] == ["token", "example"]
    with StudyStore.open(t5.study) as study:
        seen = next(done.result["seen"] for done in study.all_work("joint"))
        sites = [done.result["record"] for done in study.all_work("site")]
    assert {each["unit"] for each in sites} == {"token"}
    assert all(each["units"] > each["examples"] for each in sites)
    assert seen["near"]["examples"] > seen["far"]["examples"]  # whose targets are twice as long


def test_a_corner_preview_is_the_single_task_model(t5: Flow) -> None:
    fitted = json.loads(foretaste("fit", t5.recipe, "--study", t5.study, "--json").out)
    plan, text = read(t5.recipe)
    problem = load(plan, text, str(t5.recipe))
    rows = json.loads(foretaste("preview", t5.recipe, "--weights", "near=1", "--study", t5.study, "--json").out)
    with StudyStore.open(t5.study) as study:
        results = evaluate(problem.model, study.tensors(fitted["near"]["params"]), problem.tasks)
    assert all(row["metrics"] == {name: dict(result.metrics) for name, result in results.items()} for row in rows)


def test_what_was_written_is_kept(t5: Flow, gpt2: Flow) -> None:
    with StudyStore.open(t5.study) as study:
        for done in study.all_work("evaluation"):
            kept = study.tensors(done.artefact)
            assert {name.partition("/")[2] for name in kept} == {"losses", "predicted", "texts"}
            texts = json.loads(bytes(kept["near/texts"].tolist()))
            assert len(texts) == len(kept["near/losses"]) == 6
            assert all(isinstance(text, str) for text in texts)
    with StudyStore.open(gpt2.study) as study:
        assert {name.partition("/")[2] for name in study.tensors(study.all_work("evaluation")[0].artefact)} == {
            "losses",
            "predicted",
        }


def test_reports_say_that_less_is_better(t5: Flow) -> None:
    shown = foretaste("show", t5.study).out
    assert "perplexity (less is better)" in shown
    assert "perplexity (less is better)" in Path(json.loads(t5.ran.out)["report"]).read_text()
    for floor, met in (("near>=1e9", True), ("near>=0.5", False)):  # at most so much; none is below 1
        found = json.loads(foretaste("show", t5.study, "--floor", floor, "--json").out)
        assert found["recommendation"]["floors_met"] == met


def test_chats(tmp_path: Path, checkpoints: Checkpoints) -> None:
    """From the messages' columns, found by their name; `check` and `fit`."""
    tasks = {name: (table(tmp_path / f"{name}.jsonl", chats(8, seed)),) * 2 for seed, name in enumerate("ab")}
    recipe = language_recipe(
        tmp_path / "tiny.yaml",
        checkpoints.llama,
        "causal-lm",
        tasks,
        "metrics: [perplexity, chrf]",
        "max_new_tokens: 8",
    )
    checked = json.loads(foretaste("check", recipe, "--json").out)
    lengths = checked["tasks"]["a"].pop("tokens")
    assert (lengths["rows"], lengths["cut"]) == (16, 8)
    assert checked["tasks"]["a"] == {
        "form": "chats",
        "train": 8,
        "validation": 8,
        "classes": 0,
        "metrics": ["perplexity", "chrf"],
        "epochs": 6 * 4 / 8,  # steps and rows a step of the recipe
    }
    found = foretaste("fit", recipe, "--study", tmp_path / "study", "--json")
    assert (found.code, set(json.loads(found.out))) == (0, {"a", "b"})


class TestFaults:
    @pytest.fixture
    def good(self, tmp_path: Path) -> Path:
        return table(tmp_path / "good.jsonl", translations(6, 1, 1))

    def never_written(self, folder: Path, recipe: Path) -> str:
        before = contents(folder)
        message = refused("run", recipe, "--study", folder / "study")
        assert contents(folder) == before
        return message

    @pytest.mark.parametrize(
        ("rows", "task", "model", "words"),
        [
            (
                [{"prompt": "a"}],
                "",
                "",
                "line 5, tasks.a.train: .* has none of the columns messages, or prompt and completion, or text; it has",
            ),
            (
                [{"prompt": "a"}],
                "prompt: prompt",
                "",
                "line 5, tasks.a.train: .* has no column 'completion'; it has prompt",
            ),
            (
                [{"prompt": "a", "completion": ""}],
                "",
                "",
                "line 5, tasks.a.train: row 1 of .* has no text in column 'completion'; fill or remove",
            ),
            (
                chats(2, 1),
                "",
                "",
                "line 5, tasks.a.train: the tokenizer has no chat template; put one in the checkpoint's",
            ),
            (
                [{"prompt": "a", "completion": "b"}],
                "metrics: [accuracy]",
                "",
                r"line 5, tasks.a.metrics.0: causal-lm is not judged by accuracy",
            ),
            (
                [{"text": "the film"}],
                "metrics: [chrf]",
                "max_new_tokens: 4",
                "line 5, tasks.a.metrics: chrf needs a prompt to write from",
            ),
            ([{"text": "the film"}], "", "head: private", "line 3, model.head: causal-lm has no heads to share"),
            (
                [{"prompt": "a", "completion": "b"}],
                "metrics: [bleu]",
                "",
                "line 3, model.max_new_tokens: max_length 32 and max_new_tokens 64 are",
            ),
        ],
    )
    def test_recipes_and_rows(
        self, tmp_path: Path, checkpoints: Checkpoints, rows: list[dict[str, object]], task: str, model: str, words: str
    ) -> None:
        bad = table(tmp_path / "bad.jsonl", rows)
        recipe = language_recipe(
            tmp_path / "r.yaml", checkpoints.gpt2, "causal-lm", {"a": (bad, bad), "b": (bad, bad)}, task, model
        )
        message = self.never_written(tmp_path, recipe)
        assert re.search(f"{re.escape(str(recipe))}, {words}", message), message

    def test_a_role_that_is_none(self, tmp_path: Path, checkpoints: Checkpoints) -> None:
        rows = [*chats(2, 1), {"messages": [{"role": "user", "content": "x"}, {"role": "robot", "content": "y"}]}]
        bad = table(tmp_path / "bad.jsonl", rows)
        recipe = language_recipe(
            tmp_path / "r.yaml", checkpoints.llama, "causal-lm", {"a": (bad, bad), "b": (bad, bad)}
        )
        message = self.never_written(tmp_path, recipe)
        assert (
            f"row 3 of {bad} has a message of the role 'robot'; roles are system, developer, user, assistant, tool"
            in message
        )

    def test_a_kind_that_the_checkpoint_is_not(self, tmp_path: Path, checkpoints: Checkpoints, good: Path) -> None:
        recipe = language_recipe(
            tmp_path / "r.yaml", checkpoints.gpt2, "seq2seq", {"a": (good, good), "b": (good, good)}
        )
        assert "line 3, model.path: " in (message := self.never_written(tmp_path, recipe))
        assert "cannot be loaded for seq2seq" in message

    def test_bleu_without_its_extra(
        self, tmp_path: Path, checkpoints: Checkpoints, good: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where sacrebleu cannot be imported; without bleu nothing is missed."""
        for name in [name for name in sys.modules if name.startswith(("sacrebleu", "foretaste.sources.texts"))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "sacrebleu", None)
        tasks = {"a": (good, good), "b": (good, good)}
        with_bleu, without = (
            language_recipe(tmp_path / f"{number}.yaml", checkpoints.t5, "seq2seq", tasks, f"metrics: {metrics}")
            for number, metrics in enumerate(("[perplexity, bleu]", "[perplexity]"))
        )
        words = (
            "tasks.a.metrics: the metrics bleu and chrf need sacrebleu; install it with: pip install 'foretaste[text]'"
        )
        assert f"{with_bleu}, line 5, {words}" in self.never_written(tmp_path, with_bleu)
        assert foretaste("check", without).code == 0
