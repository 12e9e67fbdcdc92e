from pathlib import Path

import pytest

from foretaste.errors import DataError
from foretaste.sources.job_results import harness_metrics, job_metrics, read_json, trainer_metrics


def test_the_last_evaluation_of_each_task_counts() -> None:
    log = [
        {"eval_a_loss": 2.0, "eval_a_runtime": 3.0, "step": 2},
        {"eval_a_b_loss": 1.0, "loss": 9.0, "step": 2},
        {"eval_a_loss": 1.5, "step": 4},
    ]
    state = {"global_step": 4, "max_steps": 4, "log_history": log}
    assert trainer_metrics(state, ["a", "a_b"]) == {"a": {"loss": 1.5}, "a_b": {"loss": 1.0}}
    assert trainer_metrics({"log_history": [{"eval_loss": 1.0}]}, ["only"]) == {"only": {"loss": 1.0}}
    assert trainer_metrics({"log_history": [{"eval_loss": 1.0}]}, ["a", "b"]) == {}
    with pytest.raises(DataError, match="stops at step 2 of 4"):
        trainer_metrics(state | {"global_step": 2}, ["a"])


def test_metrics_of_the_harness_are_found_by_their_names() -> None:
    results = {"gsm8k": {"exact_match,strict-match": 0.4, "exact_match,flexible-extract": 0.5, "alias": "gsm8k"}}
    content = {"results": results | {"arc": {"acc,none": 0.3, "acc_norm,none": 0.35, "acc_stderr,none": 0.01}}}
    names = {"maths": ["gsm8k:exact_match:strict-match"], "arc": ["acc_norm"], "chat": ["loss"]}
    assert harness_metrics(content, names) == {"maths": {names["maths"][0]: 0.4}, "arc": {"acc_norm": 0.35}}
    with pytest.raises(DataError, match="several filters"):
        harness_metrics(content, {"gsm8k": ["exact_match"]})


def test_own_metrics_need_known_tasks_and_numbers(tmp_path: Path) -> None:
    assert job_metrics({"a": 0.5}, {"a": "acc"}) == {"a": {"acc": 0.5}}
    with pytest.raises(DataError, match="names 'b', which is no task"):
        job_metrics({"b": 0.5}, {"a": "acc"})
    with pytest.raises(DataError, match="no number for acc of a"):
        job_metrics({"a": {"acc": "high"}}, {"a": "acc"})
    (tmp_path / "metrics.json").write_text("[1]")
    with pytest.raises(DataError, match="is not a JSON object"):
        read_json(tmp_path / "metrics.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path / "none.json")
