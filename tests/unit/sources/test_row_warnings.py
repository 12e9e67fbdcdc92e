from pathlib import Path

import datasets
import pytest

from checkpoints import Checkpoints, image_folder, table, translations
from foretaste.metrics import METRICS
from foretaste.sources.data import read_rows
from foretaste.sources.language import load as load_language
from foretaste.sources.language_metrics import metrics_named
from foretaste.sources.request import TaskRequest
from foretaste.sources.row_warnings import (
    Cut,
    TaskRows,
    cut_warning,
    file_warnings,
    overlap_warnings,
    row_digests,
)
from foretaste.sources.transformers import load


def texts(*values: str, name: str = "text") -> datasets.Dataset:
    return datasets.Dataset.from_dict({name: list(values)})


def test_rows_of_both_files_are_counted(tmp_path: Path) -> None:
    folders = [image_folder(tmp_path / name, 4, seed, ["a", "b"]) for seed, name in enumerate("fg")]
    train, other = (read_rows(str(folder), "train", None) for folder in folders)
    assert overlap_warnings({"news": TaskRows(train, other, ["image"])}) == ()
    both = datasets.concatenate_datasets([other, train.select([3])])
    (said,) = overlap_warnings({"news": TaskRows(train, both, ["image"])})
    assert said.startswith(
        "1 of 4 training rows of task 'news' are in its validation data too: its metrics look better than they are"
    )
    one, two = (datasets.Dataset.from_dict({"a": ["x", "y"], "b": second}) for second in (["1", "2"], ["2", "2"]))
    assert overlap_warnings({"t": TaskRows(one, two, ["a", "b"])})[0].startswith("1 of 2")


def test_training_rows_that_another_task_is_judged_by() -> None:
    """Whatever the columns are called there."""
    tasks = {
        "a": TaskRows(texts("x", "y", "z", "x"), texts("own"), ["text"]),
        "b": TaskRows(texts("own", "other", name="said"), texts("x", "z", name="said"), ["said"]),
        "c": TaskRows(texts("new"), texts("newer"), ["text"]),
    }
    expected = {("a", "b"): 3, ("b", "a"): 1}
    assert overlap_warnings(tasks) == tuple(
        f"{count} of {len(tasks[name].train)} training rows of task {name!r} are in the validation data of task"
        f" {other!r}: after joint runs the metrics of {other!r} look better than they are; remove them from one"
        for (name, other), count in expected.items()
    )


def test_digests_are_of_values_in_their_order() -> None:
    rows = datasets.Dataset.from_dict({"a": ["x", "y"], "b": ["y", "x"]})
    one, other = list(row_digests(rows, ["a", "b"])), list(row_digests(rows, ["b", "a"]))
    assert one == other[::-1] != other


def test_cut_rows_are_counted_with_their_share_and_the_longest() -> None:
    assert cut_warning("t", "validation", Cut(0, 5, 9), 10) == ()
    words = "1 of 3 validation rows of task 't' (33 %) are cut to max_length 10; the longest has 99 tokens"
    assert cut_warning("t", "validation", Cut(1, 3, 99), 10) == (words,)
    assert "(100 %)" in cut_warning("t", "validation", Cut(3, 3, 99), 10)[0]
    assert cut_warning("t", "validation", Cut(1, 3, 99, 7), 10) == (f"{words}, and 7 learned tokens are cut off",)
    assert "(under 1 %)" in cut_warning("t", "validation", Cut(1, 3000, 99), 10)[0]


def test_lines_are_counted_of_the_whole_file(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", [{"text": "one\ntwo"}, {"text": "three"}])
    for most in (None, 1):
        (words,) = file_warnings(str(path), read_rows(str(path), "train", most), most)
        assert words.startswith(f"{path} has 3 lines below its header, but 2 rows were read")


def test_all_warnings_of_a_classification_problem(checkpoints: Checkpoints, tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": label}
        for text, label in (("the fine film", "good"), ("dull", "bad"), ("a dull book is dull", "bad"))
    ]
    files = {
        "a": (table(tmp_path / "a.csv", rows), table(tmp_path / "av.csv", [{"text": "poor", "label": "bad"}])),
        "b": (table(tmp_path / "b.csv", [{**row, "text": f"a {row['text']}"} for row in rows]), tmp_path / "bv.csv"),
    }
    (tmp_path / "bv.csv").write_text('text,label\ndull,bad\n"the\nfilm",good\n')
    metrics = (METRICS["accuracy"], METRICS["mcc"])
    plans = [
        TaskRequest(name, str(train), str(other), metrics, {"text": "text"}) for name, (train, other) in files.items()
    ]
    problem = load(str(checkpoints.bert), "text-classification", plans, max_length=6)
    assert problem.warnings == (
        (
            "1 of 3 training rows of task 'a' are in the validation data of task 'b': "
            "after joint runs the metrics of 'b' look better than they are; remove them from one"
        ),
        "the only validation row of task 'a' has the label 'bad': mcc says nothing there; add rows of other labels",
        "1 of 3 training rows of task 'a' (33 %) are cut to max_length 6; the longest has 7 tokens",
        "1 of 3 training rows of task 'b' (33 %) are cut to max_length 6; the longest has 8 tokens",
        (
            f"{tmp_path / 'bv.csv'} has 3 lines below its header, but 2 rows were read: "
            "fields hold line breaks, or a quotation mark is never closed"
        ),
    )
    assert ("warning", "; ".join(problem.warnings)) in problem.facts


@pytest.mark.parametrize(("name", "columns"), [("gpt2", {"prompt": "source", "completion": "target"}), ("t5", {})])
def test_cut_rows_of_language_models(
    checkpoints: Checkpoints, tmp_path: Path, name: str, columns: dict[str, str]
) -> None:
    """Right are the lengths of whole rows, by a length that cuts none."""
    plans = []
    for task, seed in (("a", 1), ("b", 2)):
        train, other = (
            str(table(tmp_path / f"{task}{part}.jsonl", translations(8, 10 * seed + part, 1))) for part in (0, 1)
        )
        plans.append(TaskRequest(task, train, other, metrics_named(["perplexity"]), columns))
    path, kind = str(getattr(checkpoints, name)), "seq2seq" if name == "t5" else "causal-lm"
    assert kind in ("seq2seq", "causal-lm")
    whole = load_language(path, "seq2seq" if name == "t5" else "causal-lm", plans, max_length=64)
    assert not [words for words in whole.warnings if "max_length" in words]
    lengths = [
        max(len(example["input_ids"]) + (name == "gpt2"), len(example["labels"]))
        for example in (whole.tasks[0].train[index] for index in range(8))
    ]
    most = sorted(lengths)[4]
    few = load_language(path, "seq2seq" if name == "t5" else "causal-lm", plans, max_length=most)
    count = sum(length > most for length in lengths)
    (words,) = cut_warning("a", "training", Cut(count, 8, max(lengths)), most)
    (warning,) = (warning for warning in few.warnings if warning.startswith(words))
    lost = sum(row.lost for row in few.tasks[0].train.rows)  # type: ignore[attr-defined]
    assert warning == words + (f", and {lost} learned tokens are cut off" if lost else "")
    assert count
