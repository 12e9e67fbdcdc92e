from pathlib import Path

import pytest
import yaml

from checkpoints import table
from foretaste.errors import DataError
from foretaste.sources.harness_tasks import describe_tasks, load_tasks, parse_metric
from foretaste.sources.request import HarnessMetric, HarnessOptions


@pytest.fixture
def options(tmp_path: Path) -> HarnessOptions:
    """A folder with one task of multiple choice."""
    rows = [{"question": f"is it {word}", "choices": ["yes", "no"], "answer": 0} for word in ("good", "fine", "dull")]
    task = {
        "task": "mood",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(table(tmp_path / "mood.jsonl", rows))}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "mood.yaml").write_text(yaml.safe_dump(task))
    return HarnessOptions(tasks=str(tmp_path))


def test_a_name_has_a_task_a_metric_and_a_filter() -> None:
    assert parse_metric("mood:acc") == HarnessMetric("mood:acc", "mood", "acc")
    assert parse_metric("mood:acc:none").filter == "none"


def test_a_task_of_one_s_own_is_loaded(options: HarnessOptions) -> None:
    tasks = load_tasks("mood", options)
    assert tasks.key(parse_metric("mood:acc")) == ("acc", "none")
    with pytest.raises(DataError, match="harness task 'mood' has no metric 'bleu'; it has acc"):
        tasks.key(parse_metric("mood:bleu"))
    assert describe_tasks(tasks, None) == describe_tasks(load_tasks("mood", options), None)
    assert describe_tasks(tasks, 1) != describe_tasks(tasks, 2)
