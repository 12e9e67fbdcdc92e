"""A tiny GPT-2 judged by lm-evaluation-harness on one's own tasks: the recipe and the tasks of docs/harness.md."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from checkpoints import Checkpoints, table, translations
from commands import Ran, contents, foretaste, refused
from foretaste.store.study import StudyStore

PAGE = Path(__file__).parents[2] / "docs" / "harness.md"
PARTS = """
finetune: {steps: 60, batch_size: 6, learning_rate: 0.02}
curvature: {max_examples: 8}
preview: {points: 3}
joint: {points: 1}
snapshot_seconds: 20
"""
METRICS = {
    "colours": ["loss", "colour_choice:acc_norm", "colour_choice:acc", "perplexity"],
    "words": ["loss", "perplexity", "colour_name:exact_match:word"],
}
COLOURS = ("red", "green", "blue")


def blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@dataclass(frozen=True)
class Flow:
    """A recipe that ran, and what it printed."""

    folder: Path
    ran: Ran

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def study(self) -> Path:
        return self.folder / "study"


def written(folder: Path, checkpoint: Path) -> Path:
    """The page's recipe and harness tasks, beside data."""
    recipe, *tasks = blocks()
    shutil.copytree(checkpoint, folder / "model")
    (folder / "tasks").mkdir()
    for text in tasks:
        name = yaml.safe_load(text)["task"]
        (folder / "tasks" / f"{name}.yaml").write_text(text.replace("/data/", f"{folder}/"))
    for name, shift in (("colours", 1), ("words", 3)):
        for part, count in (("", 20), ("_validation", 6)):
            rows = [
                {"prompt": row["source"], "completion": f" {row['target']}"}
                for row in translations(count, shift + count, shift)
            ]
            rows += [{"prompt": f"a {colour} book is", "completion": f" {colour}"} for colour in COLOURS] * (
                name == "colours"
            )
            table(folder / f"{name}{part}.jsonl", rows)
    documents = [
        {"question": f"a {colour} book is", "choices": list(COLOURS), "answer": place}
        for place, colour in enumerate(COLOURS)
    ]
    table(folder / "choices.jsonl", documents * 3)
    table(folder / "choices_train.jsonl", documents)
    path = folder / "recipe.yaml"
    path.write_text(recipe + PARTS)
    return path


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Flow:
    folder = tmp_path_factory.mktemp("harness")
    ran = foretaste("run", written(folder, checkpoints.gpt2), "--study", folder / "study", "--json")
    assert ran.code == 0, ran.err
    return Flow(folder, ran)


def test_rows_have_the_harness_s_metrics_beside_the_others(flow: Flow) -> None:
    found = json.loads(flow.ran.out)
    assert found["tasks"]["colours"] == {
        **found["tasks"]["colours"],
        "metric": "colour_choice:acc_norm",
        "higher_is_better": True,
    }
    rows = found["rows"]
    assert {row["fidelity"] for row in rows} == {"preview", "joint"}
    assert all({task: list(each) for task, each in row["metrics"].items()} == METRICS for row in rows)
    assert len({row["metrics"]["colours"]["colour_choice:acc"] for row in rows}) > 1
    assert all(0 <= row["metrics"]["words"]["colour_name:exact_match:word"] <= 1 for row in rows)
    asked = "colour_choice (version 1.0, 9 documents), colour_name (version 1.0, 9 documents)"
    assert found["provenance"]["lm-evaluation-harness"].endswith(asked)


def test_the_recommendation_is_by_the_headlines(flow: Flow) -> None:
    floor = "colours>=0"
    shown = foretaste("show", flow.study, "--prefer", "colours=1,words=0", "--floor", floor, "--json")
    found = json.loads(shown.out)
    rows = [row for row in found["rows"] if row["fidelity"] == "preview" and row["method"] == found["method"]]
    best = max(row["metrics"]["colours"]["colour_choice:acc_norm"] for row in rows)
    chosen = next(row for row in rows if row["weights"] == found["recommendation"]["weights"])
    assert chosen["metrics"]["colours"]["colour_choice:acc_norm"] == best
    assert found["recommendation"]["floors_met"]


def test_nothing_is_judged_twice(flow: Flow) -> None:
    with StudyStore.open(flow.study) as study:
        before = len(study.all_work("evaluation"))
    again = foretaste("run", flow.recipe, "--study", flow.study, "--json")
    assert json.loads(again.out)["rows"] == json.loads(flow.ran.out)["rows"]
    with StudyStore.open(flow.study) as study:
        assert len(study.all_work("evaluation")) == before


def test_the_harness_says_the_same_of_the_exported_model(flow: Flow, tmp_path: Path) -> None:
    """Loaded by itself, from the folder that `export` wrote."""
    exported = foretaste(
        "export", flow.recipe, "--study", flow.study, "--to", tmp_path / "out", "--weights", "uniform", "--json"
    )
    assert exported.code == 0, exported.err
    method = json.loads(exported.out)["method"]
    rows = json.loads(flow.ran.out)["rows"]
    row = next(each for each in rows if each["method"] == method and set(each["weights"].values()) == {0.5})
    found = simple_evaluate(
        model=HFLM(pretrained=str(tmp_path / "out"), device="cpu", batch_size=1),
        tasks=["colour_choice", "colour_name"],
        task_manager=TaskManager(include_path=str(flow.folder / "tasks"), include_defaults=False),
        num_fewshot=2,
        random_seed=1234,
        bootstrap_iters=0,
    )["results"]
    assert row["metrics"]["colours"]["colour_choice:acc_norm"] == pytest.approx(found["colour_choice"]["acc_norm,none"])
    assert row["metrics"]["words"]["colour_name:exact_match:word"] == pytest.approx(
        found["colour_name"]["exact_match,word"]
    )


def test_tables_and_pages_show_them(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    for arguments in (("show", flow.study), ("preview", flow.recipe, "--study", flow.study, "--weights", "colours=1")):
        shown = foretaste(*arguments)
        assert shown.code == 0, shown.err
        assert "colour_choice:acc_norm" in shown.out
    value = f"{json.loads(flow.ran.out)['rows'][0]['metrics']['words']['colour_name:exact_match:word']:.3f}"
    page = Path(json.loads(foretaste("report", flow.study, "--json").out)["report"]).read_text()
    assert all(name in page for name in ("colour_choice:acc_norm", "colour_name:exact_match:word", value))


def test_another_limit_is_another_study(flow: Flow) -> None:
    text = flow.recipe.read_text()
    other = flow.folder / "other.yaml"
    for old, new, refusing in (("limit: 200", "limit: 3", True), ("batch_size: 8}", "batch_size: 2}", False)):
        assert old in text
        other.write_text(text.replace(old, new))
        ran = foretaste("run", other, "--study", flow.study, "--json")
        assert (ran.code == 2) == refusing, ran.err
        assert ("model.harness.limit: was 200, is 3" in ran.err) == refusing


class TestFaults:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "[colour_choice:acc_norm, ",
                "[colour_choice:norm, ",
                "line 12, tasks.colours.metrics.0: harness task 'colour_choice' has no",
            ),
            (
                "exact_match:word",
                "exact_match",
                "line 16, tasks.words.metrics.1: harness task 'colour_name' reads answers in several ways",
            ),
            ("limit: 200", "limt: 200", "line 7, model.harness.limt: unknown field; did you mean limit?"),
            (
                "tasks: tasks",
                "tasks: ./no",
                "line 7, model.harness.tasks: .*no is not a folder; relative paths start at the recipe's",
            ),
            (
                "limit: 200",
                "chat_template: yes",
                "line 7, model.harness.chat_template: the tokenizer has no chat template",
            ),
        ],
    )
    def test_a_field_that_is_wrong_is_named(
        self, tmp_path: Path, checkpoints: Checkpoints, old: str, new: str, message: str
    ) -> None:
        recipe = written(tmp_path, checkpoints.gpt2)
        text = recipe.read_text()
        assert old in text
        recipe.write_text(text.replace(old, new))
        before = contents(tmp_path)
        said = refused("run", recipe, "--study", tmp_path / "study")
        assert re.search(f"{re.escape(str(recipe))}, {message}", said), said
        assert contents(tmp_path) == before

    def test_a_pass_that_fails_is_told_before_any_work(self, tmp_path: Path, checkpoints: Checkpoints) -> None:
        recipe = written(tmp_path, checkpoints.gpt2)
        task = tmp_path / "tasks" / "colour_name.yaml"
        task.write_text(task.read_text().replace("max_gen_toks: 8", "max_gen_toks: 800"))
        said = refused("run", recipe, "--study", tmp_path / "study")
        assert "harness task 'colour_name' failed: AssertionError: Invalid configuration" in said
        assert not (tmp_path / "study").exists()
