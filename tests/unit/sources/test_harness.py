import json
import random
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pytest
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from torch import nn

from checkpoints import Checkpoints, table, translations
from foretaste.errors import DataError, TaskError
from foretaste.evaluate import evaluate, measure
from foretaste.metric_kinds import ModelMetric
from foretaste.params import parameters_of, snapshot, swapped
from foretaste.sources.adapted import LoraPlan, add_lora
from foretaste.sources.harness import Harness
from foretaste.sources.harness_tasks import parse_metric
from foretaste.sources.language import load
from foretaste.sources.language_metrics import metrics_named
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.problem import Problem
from foretaste.sources.request import HarnessMetric, HarnessOptions, TaskRequest
from foretaste.train.finetune import finetune
from foretaste.train.training import Training

WORDS = ("fine", "great", "superb", "dull", "poor", "awful")
CHOICE = ("choice:acc", "choice:acc_norm", "choice:brier_score")
WRITTEN = ("written:exact_match:first", "written:exact_match:whole")
TEXTS = ("texts:word_perplexity",)

Change = Callable[[Path], object]


def write(folder: Path, name: str, **said: object) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"task": name, **said}, sort_keys=False))
    return path


def metric(name: str, *, higher: bool = True, aggregation: str = "mean", **said: object) -> dict[str, object]:
    return {"metric": name, "aggregation": aggregation, "higher_is_better": higher, **said}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Harness tasks of all three kinds over a local file, a group of two, and one whose code is Python."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [
        {
            "question": f"the {word} film is",
            "choices": list(WORDS),
            "answer": place,
            "gold": word,
            "other": WORDS[place - 1],
        }
        for place, word in enumerate(WORDS)
    ] * 3
    files = {
        "train": str(table(folder / "train.jsonl", rows[::-1])),
        "test": str(table(folder / "test.jsonl", rows[:10])),
    }
    data = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "training_split": "train",
        "test_split": "test",
    }
    choice = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
    }
    judges = [metric("acc"), metric("acc_norm"), metric("brier_score", higher=False, aggregation="brier_score")]
    write(folder, "choice", **data, **choice, metric_list=judges, metadata={"version": 2.0}, tag="tiny")
    write(folder, "other", **data, **{**choice, "doc_to_target": "{{(answer + 1) % 6}}"}, metric_list=[metric("acc")])
    write(
        folder,
        "written",
        **data,
        output_type="generate_until",
        doc_to_text="{{question}}",
        doc_to_target="gold",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
        metric_list=[metric("exact_match")],
        filter_list=[
            {"name": "first", "filter": [{"function": "regex", "regex_pattern": r"(\w)"}, {"function": "take_first"}]},
            {"name": "whole", "filter": [{"function": "take_first"}]},
        ],
    )
    write(
        folder,
        "texts",
        **data,
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{question}} {{gold}}",
        metric_list=[metric("word_perplexity", higher=False, aggregation="weighted_perplexity")],
    )
    joined = {
        "group": "both",
        "task": ["choice", "other"],
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean"}],
    }
    (folder / "both.yaml").write_text(yaml.safe_dump(joined))
    (folder / "loose.yaml").write_text(yaml.safe_dump({"group": "loose", "task": ["choice", "other"]}))
    (folder / "coded.py").write_text("def target(doc):\n    return doc['answer']\n")
    (folder / "coded.yaml").write_text(
        yaml.safe_dump({"task": "coded", **data, **choice, "metric_list": [metric("acc")]}).replace(
            "doc_to_target: answer", "doc_to_target: !function coded.target"
        )
    )
    return folder


def problem(folder: Path, checkpoint: Path, metrics: Mapping[str, Collection[str]], **options: Any) -> Problem:  # noqa: ANN401
    """Two tasks, each with its metrics."""
    file = str(table(folder.parent / "rows.jsonl", translations(6, 1, 1)))
    columns = {"prompt": "source", "completion": "target"}
    plans = [TaskRequest(name, file, file, metrics_named(list(names)), columns) for name, names in metrics.items()]
    return load(
        str(checkpoint), "causal-lm", plans, max_length=32, options=HarnessOptions(tasks=str(folder), **options)
    )


def by_itself(
    model: str | nn.Module, checkpoint: Path, folder: Path, tasks: list[str], **options: object
) -> dict[str, dict[str, float]]:
    """What lm-evaluation-harness says on its own, of a model that it may load itself."""
    lm = HFLM(pretrained=model, tokenizer=tokenizer_at(str(checkpoint)), device="cpu", dtype="float32", batch_size=3)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model=lm,
        tasks=tasks,
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=False,
        random_seed=1234,
        **options,
    )
    return {name: dict(each) for name, each in found["results"].items()}


class Passes:
    """How often a model is called."""

    def __init__(self, model: nn.Module) -> None:
        self.calls = 0
        self._hook = model.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.calls += 1

    def __enter__(self) -> "Passes":
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


class TestNumbers:
    @pytest.mark.parametrize("name", ["gpt2", "llama"])
    @pytest.mark.parametrize("shots", [0, 2])
    def test_they_are_the_harness_s_own(self, checkpoints: Checkpoints, folder: Path, name: str, shots: int) -> None:
        """Of a model that the harness loads from the folder that params were saved to; whatever the batch size."""
        checkpoint = getattr(checkpoints, name)
        names = (*CHOICE, *WRITTEN, *TEXTS, "both:acc")
        found = problem(folder, checkpoint, {"a": names, "b": ["perplexity"]}, num_fewshot=shots, limit=8, batch_size=5)
        params = finetune(
            found.model, None, found.tasks[1], Training(steps=20, batch_size=6, learning_rate=0.02)
        ).params
        with swapped(found.model, params):
            found.model.save_pretrained(folder.parent / "saved")  # type: ignore[operator] # transformers is not typed
        seen = evaluate(found.model, params, found.tasks)["a"].metrics
        options = {"num_fewshot": shots, "limit": 8}
        alone = by_itself(str(folder.parent / "saved"), checkpoint, folder, ["choice", "written", "texts"], **options)
        for each in (*CHOICE, *WRITTEN, *TEXTS):
            task, key, *way = each.split(":")
            assert seen[each] == pytest.approx(alone[task][f"{key},{way[0] if way else 'none'}"], rel=1e-5), each
        group = by_itself(str(folder.parent / "saved"), checkpoint, folder, ["both"], **options)
        assert seen["both:acc"] == pytest.approx(group["both"]["acc,none"])
        before = evaluate(found.model, None, found.tasks)["a"].metrics
        assert before["texts:word_perplexity"] != pytest.approx(seen["texts:word_perplexity"], rel=1e-3)

    def test_a_model_that_knows_answers_gives_them(self, checkpoints: Checkpoints, folder: Path) -> None:
        """By greedy decoding, where a task would rather draw."""
        plain = yaml.safe_load((folder / "written.yaml").read_text())
        way = {
            "filter_list": [
                {
                    "name": "word",
                    "filter": [{"function": "regex", "regex_pattern": r"(\w+)"}, {"function": "take_first"}],
                }
            ]
        }
        settings = {"until": ["\n"], "max_gen_toks": 6, "do_sample": True, "temperature": 50.0}
        write(folder, "drawn", **{**plain, **way, "task": "drawn", "generation_kwargs": settings})
        rows = [{"source": f"the {word} film is", "target": f" {word}"} for word in WORDS]
        file = str(table(folder.parent / "known.jsonl", rows))
        metrics = metrics_named(["choice:acc", "drawn:exact_match"])
        plan = TaskRequest("a", file, file, metrics, {"prompt": "source", "completion": "target"})
        plans = [plan, replace(plan, name="b")]
        found = load(
            str(checkpoints.gpt2), "causal-lm", plans, max_length=32, options=HarnessOptions(tasks=str(folder))
        )
        training = Training(steps=300, batch_size=6, learning_rate=0.02, decay="constant")
        result = evaluate(found.model, finetune(found.model, None, found.tasks[0], training).params, found.tasks)[
            "b"
        ].metrics
        assert (result["choice:acc"], result["drawn:exact_match"]) == (1.0, 1.0)

    def test_every_pass_is_alike_and_disturbs_no_draw(self, checkpoints: Checkpoints, folder: Path) -> None:
        """Examples in prompts are drawn anew in each pass, by the same seed."""
        task = problem(folder, checkpoints.gpt2, {"a": TEXTS + CHOICE, "b": ["perplexity"]}, num_fewshot=3)
        state = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
        first, second = (evaluate(task.model, None, task.tasks)["a"].metrics for _ in range(2))
        assert first == second
        assert torch.equal(torch.get_rng_state(), state[0])
        assert (random.getstate(), str(np.random.get_state())) == state[1:]

    def test_chats(self, checkpoints: Checkpoints, folder: Path) -> None:
        """Prompts in the tokenizer's chat template, as the harness puts them."""
        found = problem(
            folder, checkpoints.llama, {"a": CHOICE, "b": ["perplexity"]}, num_fewshot=1, chat_template=True
        )
        alone = by_itself(found.model, checkpoints.llama, folder, ["choice"], num_fewshot=1, apply_chat_template=True)
        seen = evaluate(found.model, None, found.tasks)["a"].metrics
        assert seen["choice:brier_score"] == pytest.approx(alone["choice"]["brier_score,none"], rel=1e-5)
        bare = by_itself(found.model, checkpoints.llama, folder, ["choice"], num_fewshot=1)
        assert seen["choice:brier_score"] != pytest.approx(bare["choice"]["brier_score,none"], rel=1e-3)
        with pytest.raises(DataError, match="the tokenizer has no chat template") as caught:
            problem(folder, checkpoints.gpt2, {"a": CHOICE, "b": CHOICE}, chat_template=True)
        assert caught.value.field == ("model", "harness", "chat_template")

    @pytest.mark.filterwarnings(
        "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
    )  # peft asks transformers
    def test_lora(self, checkpoints: Checkpoints, folder: Path) -> None:
        found = add_lora(problem(folder, checkpoints.llama, {"a": TEXTS, "b": ["perplexity"]}), LoraPlan(r=2))
        before = evaluate(found.model, None, found.tasks)["a"].metrics
        params = finetune(
            found.model, None, found.tasks[0], Training(steps=20, batch_size=6, learning_rate=0.05)
        ).params
        assert {name for name in params if "inv_freq" not in name} == found.trained
        after = evaluate(found.model, params, found.tasks)["a"].metrics
        assert after["texts:word_perplexity"] != pytest.approx(before["texts:word_perplexity"], rel=1e-3)
        with swapped(found.model, params):
            alone = by_itself(found.model, checkpoints.llama, folder, ["texts"])
        assert after["texts:word_perplexity"] == pytest.approx(alone["texts"]["word_perplexity,none"], rel=1e-5)


class TestPasses:
    def calls(self, found: Problem) -> int:
        with Passes(found.model) as passes:
            evaluate(found.model, None, found.tasks)
        return passes.calls

    def test_one_for_all_metrics_and_tasks(self, checkpoints: Checkpoints, folder: Path) -> None:
        none, one, all_of_them = (
            self.calls(problem(folder, checkpoints.gpt2, {"a": [*a, "perplexity"], "b": [*b, "perplexity"]}))
            for a, b in (((), ()), (CHOICE[:1], ()), (CHOICE, CHOICE))
        )
        assert none < one == all_of_them

    def test_none_for_losses_alone(self, checkpoints: Checkpoints, folder: Path) -> None:
        found = problem(folder, checkpoints.gpt2, {"a": CHOICE, "b": CHOICE})
        with Passes(found.model) as passes:
            evaluate(found.model, None, found.tasks, loss_only=True)
        assert passes.calls == 2

    def test_a_trial_sees_a_few_documents(self, checkpoints: Checkpoints, folder: Path) -> None:
        found = problem(folder, checkpoints.gpt2, {"a": CHOICE, "b": CHOICE}, batch_size=1)
        task = found.tasks[0]
        with Passes(found.model) as trial:
            measure(found.model.eval(), task, [task.train[0], task.train[1]], batch_size=2)
        with Passes(found.model) as whole:
            measure(found.model, task, task.validation, batch_size=6)
        assert (trial.calls - 1, whole.calls - 1) == (2, 6)  # once for each question: two of two documents, six of ten

    def test_data_is_read_once_and_nothing_is_printed(
        self,
        checkpoints: Checkpoints,
        folder: Path,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        found = problem(folder, checkpoints.gpt2, {"a": (*CHOICE, *WRITTEN, *TEXTS), "b": CHOICE}, num_fewshot=1)
        for path in folder.iterdir():
            path.unlink()
        evaluate(found.model, None, found.tasks)
        assert capfd.readouterr() == ("", "")
        assert caplog.records == []

    def test_another_model_is_judged_by_itself(self, checkpoints: Checkpoints, folder: Path) -> None:
        """The judge looks at the model that it is given, and where it is."""
        found = problem(folder, checkpoints.gpt2, {"a": TEXTS, "b": TEXTS})
        judge, twin = found.tasks[0].judge, problem(folder, checkpoints.gpt2, {"a": TEXTS, "b": TEXTS}).model
        assert judge is not None
        assert judge is found.tasks[1].judge
        first = judge(found.model.eval(), TEXTS, None)
        with swapped(twin.eval(), {name: tensor / 2 for name, tensor in snapshot(parameters_of(twin)).items()}):
            assert judge(twin, TEXTS, None) != first
        assert judge(found.model, TEXTS, None) == first


class TestMetrics:
    def test_directions_are_the_harness_task_s(self, checkpoints: Checkpoints, folder: Path) -> None:
        tasks = problem(folder, checkpoints.gpt2, {"a": [*TEXTS, "exact_match"], "b": CHOICE}).tasks
        assert tasks[0].metrics[0] == ModelMetric("texts:word_perplexity", higher_is_better=False)
        assert [each.higher_is_better for each in tasks[1].metrics] == [True, True, False]

    def test_what_was_asked_is_told(self, checkpoints: Checkpoints, folder: Path) -> None:
        facts = dict(problem(folder, checkpoints.gpt2, {"a": CHOICE, "b": TEXTS}, limit=4).facts)
        expected = (
            f"lm_eval {lm_eval.__version__}: choice (version 2.0, 4 documents), texts (version Yaml, 4 documents)"
        )
        assert facts["lm-evaluation-harness"] == expected
        assert "lm-evaluation-harness" not in dict(
            problem(folder, checkpoints.gpt2, {"a": ["perplexity"], "b": ["perplexity"]}).facts
        )

    def test_names(self) -> None:
        assert parse_metric("a:b") == HarnessMetric("a:b", "a", "b")
        assert parse_metric("a:b:c") == HarnessMetric("a:b:c", "a", "b", "c")


FAULTS = [
    (
        "chioce:acc",
        (
            r"lm-evaluation-harness has no task 'chioce'; near are choice.*; .*tasks has both, choice, coded, loose,"
            r" other, tex"
        ),
    ),
    ("choice:accuracy", r"harness task 'choice' has no metric 'accuracy'; it has acc, acc_norm, brier_score"),
    ("choice:acc:first", r"acc of harness task 'choice' has no filter 'first'; it has none"),
    (
        "written:exact_match",
        r"harness task 'written' reads answers in several ways; write written:exact_match:first or written:exact_",
    ),
    ("tiny:acc", r"'tiny' is a tag of harness tasks, which have no metric in common; name one of choice"),
    ("loose:acc", r"harness group 'loose' does not say how its tasks' metrics become one; name one of choice, other"),
    ("both:acc_norm", r"harness task 'both' has no metric 'acc_norm'; it has acc"),
]


class TestFaults:
    @pytest.fixture(autouse=True)
    def _without_the_harness_s_own(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Looking through all of them takes half a minute."""
        few = tmp_path / "few"
        few.mkdir()
        monkeypatch.setattr(
            "foretaste.sources.harness_tasks._builtin",
            lambda: TaskManager(include_path=str(few), include_defaults=False),
        )

    @pytest.mark.parametrize(("name", "message"), FAULTS)
    def test_metrics_that_there_are_not(self, checkpoints: Checkpoints, folder: Path, name: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            problem(folder, checkpoints.gpt2, {"a": ["perplexity"], "b": ["perplexity", name]})
        assert caught.value.field == ("tasks", "b", "metrics", "1")

    def test_data_that_is_not_here(self, checkpoints: Checkpoints, folder: Path) -> None:
        write(folder, "far", dataset_path="organisation/benchmark", output_type="multiple_choice", test_split="test")
        message = (
            r"harness task 'far' cannot be loaded: .*organisation/benchmark.*; where its data is not on this machine,"
            r" fetch it once"
        )
        with pytest.raises(DataError, match=message):
            problem(folder, checkpoints.gpt2, {"a": ["far:acc"], "b": ["far:acc"]})

    @pytest.mark.parametrize(
        ("said", "message"), [({"unsafe_code": True}, "runs code that"), ({"doc_to_image": "x"}, "has images or")]
    )
    def test_tasks_that_are_not_for_this(
        self, checkpoints: Checkpoints, folder: Path, said: dict[str, object], message: str
    ) -> None:
        plain = yaml.safe_load((folder / "choice.yaml").read_text())
        write(folder, "bad", **{**plain, **said, "task": "bad"})
        with pytest.raises(DataError, match=f"harness task 'bad' {message}"):
            problem(folder, checkpoints.gpt2, {"a": ["bad:acc"], "b": ["bad:acc"]})

    def test_a_folder_that_is_not_there(self, checkpoints: Checkpoints, folder: Path) -> None:
        with pytest.raises(DataError, match="is not a folder; relative paths start at the recipe's folder") as caught:
            problem(folder / "no", checkpoints.gpt2, {"a": CHOICE, "b": CHOICE})
        assert caught.value.field == ("model", "harness", "tasks")

    def test_other_models(self, checkpoints: Checkpoints, folder: Path) -> None:
        file = str(table(folder.parent / "rows.jsonl", translations(4, 1, 1)))
        with pytest.raises(DataError, match="metrics of lm-evaluation-harness are for causal-lm alone, not seq2seq"):
            load(
                str(checkpoints.t5), "seq2seq", [TaskRequest(name, file, file, metrics_named(CHOICE)) for name in "ab"]
            )

    def test_a_pass_that_fails_says_which_task(self, checkpoints: Checkpoints, folder: Path) -> None:
        """A tiny model has no room for so many tokens."""
        plain = yaml.safe_load((folder / "written.yaml").read_text())
        write(folder, "long", **{**plain, "task": "long", "generation_kwargs": {"until": ["\n"], "max_gen_toks": 500}})
        found = problem(folder, checkpoints.gpt2, {"a": ["long:exact_match:whole"], "b": ["perplexity"]})
        with pytest.raises(
            TaskError, match=r"harness task 'long' failed: AssertionError: .*500.*maximum sequence length \(64\)"
        ):
            evaluate(found.model, None, found.tasks)


class TestFingerprint:
    def of(self, folder: Path, checkpoint: Path, name: str = "choice:acc", **options: Any) -> str:  # noqa: ANN401
        return problem(folder, checkpoint, {"a": [name], "b": ["perplexity"]}, **options).tasks[0].fingerprint

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def test_it_is_the_same_for_the_same_question(self, checkpoints: Checkpoints, folder: Path) -> None:
        first = self.of(folder, checkpoints.gpt2)
        assert self.of(folder, checkpoints.gpt2, batch_size=2) == first
        moved = folder.rename(folder.parent / "moved")
        for path in moved.glob("*.yaml"):
            path.write_text(path.read_text().replace(str(folder), str(moved)))
        assert self.of(moved, checkpoints.gpt2) == first

    @pytest.mark.parametrize("option", [{"num_fewshot": 1}, {"limit": 3}, {"limit": 4}])
    def test_options_change_it(self, checkpoints: Checkpoints, folder: Path, option: dict[str, int]) -> None:
        assert self.of(folder, checkpoints.gpt2, "choice:acc", **option) != self.of(folder, checkpoints.gpt2)

    @pytest.mark.parametrize(
        ("name", "file", "old", "new"),
        [
            ("choice:acc", "test.jsonl", "the superb film", "the superb book"),
            ("choice:acc", "choice.yaml", "version: 2.0", "version: 3.0"),
            ("choice:acc", "choice.yaml", "{{question}}", "Q: {{question}}"),
            ("written:exact_match:whole", "written.yaml", "max_gen_toks: 6", "max_gen_toks: 7"),
            ("coded:acc", "coded.py", "doc['answer']", "doc['answer'] % 2"),
            ("both:acc", "other.yaml", "+ 1", "+ 2"),
        ],
    )
    def test_what_a_task_says_changes_it(
        self, checkpoints: Checkpoints, folder: Path, name: str, file: str, old: str, new: str
    ) -> None:
        first = self.of(folder, checkpoints.gpt2, name)
        self.edit(folder / file, old, new)
        assert self.of(folder, checkpoints.gpt2, name) != first

    def test_examples_in_prompts_count_where_there_are_any(self, checkpoints: Checkpoints, folder: Path) -> None:
        bare, shown = (self.of(folder, checkpoints.gpt2, num_fewshot=shots) for shots in (0, 1))
        self.edit(folder / "train.jsonl", "the superb film", "the superb book")
        assert self.of(folder, checkpoints.gpt2, num_fewshot=0) == bare
        assert self.of(folder, checkpoints.gpt2, num_fewshot=1) != shown

    def test_tasks_without_a_harness_metric_keep_theirs(self, checkpoints: Checkpoints, folder: Path) -> None:
        with_it, without = (
            problem(folder, checkpoints.gpt2, {"a": a, "b": ["perplexity"]}).tasks for a in (CHOICE, ["perplexity"])
        )
        assert with_it[1].fingerprint == without[1].fingerprint
        assert with_it[0].fingerprint != without[0].fingerprint


def test_the_package_is_needed_where_a_metric_asks_for_it_alone() -> None:
    code = "import sys, foretaste.cli.entry\nfrom foretaste.sources.language_metrics import metrics_named\n"
    code += "print(len(metrics_named(['perplexity'])), 'lm_eval' in sys.modules)\nsys.modules['lm_eval'] = None\n"
    code += "from foretaste.errors import MissingExtra\n"
    code += "try:\n    metrics_named(['arc_easy:acc'])\nexcept MissingExtra as error:\n    print(error)\n"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[0] == "1 False"
    assert "pip install 'foretaste[harness]'" in found.stdout


def test_a_tokenizer_is_left_as_it_was(checkpoints: Checkpoints) -> None:
    tokenizer = tokenizer_at(str(checkpoints.gpt2))
    Harness(tokenizer, 0, HarnessOptions())
    assert tokenizer.pad_token is None
    assert json.loads(tokenizer.backend_tokenizer.to_str())["padding"] is None
