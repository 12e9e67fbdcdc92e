"""Results of a run in the files that trainers and evaluators write: metrics by task.

Three forms are read: ``metrics.json`` (``{"task": {"metric": number}}``), the state of transformers' Trainer
(``trainer_state.json``: the last ``eval_TASK_METRIC`` of its log), and results of lm-evaluation-harness
(``results*.json``: ``"results"``, by task, ``"metric,filter"``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from foretaste.errors import DataError
from foretaste.json_text import parse_json

__all__ = ["JOB", "Metrics", "harness_metrics", "job_metrics", "read_json", "trainer_metrics"]

JOB = "job.json"  # the file that says which proposal a job is

Metrics = dict[str, dict[str, float]]

_PREFIX = "eval_"
_TIMES = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        DataError: The file cannot be read, or holds something else.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path.name} is not a JSON object; write names in braces")
    return content


def job_metrics(content: Mapping[str, object], tasks: Mapping[str, str]) -> Metrics:
    """Read ``metrics.json``; a plain number is the task's headline metric.

    Args:
        content: The file's content.
        tasks: Headline metric by task.

    Raises:
        DataError: An unknown task, or something else than numbers.

    >>> job_metrics({"a": 0.5, "b": {"loss": 1.5}}, {"a": "accuracy", "b": "loss"})
    {'a': {'accuracy': 0.5}, 'b': {'loss': 1.5}}
    """
    metrics: Metrics = {}
    for task, own in content.items():
        if task not in tasks:
            raise DataError(f"metrics.json names {task!r}, which is no task; the tasks are {', '.join(tasks)}")
        values = own if isinstance(own, dict) else {tasks[task]: own}
        for name, value in values.items():
            if not _is_number(value):
                raise DataError(f"metrics.json has no number for {name} of {task}; write a number")
            metrics.setdefault(task, {})[str(name)] = float(value)
    return metrics


def trainer_metrics(content: Mapping[str, object], tasks: Sequence[str]) -> Metrics:
    """Read the last evaluation of each task from the state of transformers' Trainer.

    Args:
        content: ``trainer_state.json``; data sets for evaluation are called as the tasks are.
        tasks: Names of the tasks. With a single one, a data set may have no name.

    Raises:
        DataError: Training stopped before its last step.

    >>> log = [{"eval_a_loss": 2.0, "step": 1}, {"eval_a_loss": 1.5, "step": 2}]
    >>> trainer_metrics({"global_step": 2, "max_steps": 2, "log_history": log}, ["a", "b"])
    {'a': {'loss': 1.5}}
    """
    step, last = content.get("global_step"), content.get("max_steps")
    if isinstance(step, int) and isinstance(last, int) and step < last:
        raise DataError(f"trainer_state.json stops at step {step} of {last}; let the training finish")
    log = content.get("log_history")
    metrics: Metrics = {}
    prefixes = {f"{_PREFIX}{task}_": task for task in tasks}
    for entry in log if isinstance(log, list) else ():
        for name, value in entry.items() if isinstance(entry, dict) else ():
            fits = [prefix for prefix in prefixes if name.startswith(prefix)]
            prefix = max(fits, key=len, default=_PREFIX if len(tasks) == 1 and name.startswith(_PREFIX) else "")
            metric = name.removeprefix(prefix)
            if prefix and metric not in _TIMES and _is_number(value):
                metrics.setdefault(prefixes.get(prefix, tasks[0]), {})[metric] = float(value)
    return metrics


def harness_metrics(content: Mapping[str, object], names: Mapping[str, Sequence[str]]) -> Metrics:
    """Read results of lm-evaluation-harness for the metrics of a study.

    A metric called ``TASK:METRIC`` or ``TASK:METRIC:FILTER`` is that of a harness task. Any other is that of the
    harness task which is called as the study's task is.

    Args:
        content: The file's content.
        names: The study's metrics by task.

    Raises:
        DataError: A metric has several filters, and its name says none.

    >>> results = {"gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.4, "exact_match_stderr,strict-match": 0.1}}
    >>> harness_metrics({"results": results}, {"gsm8k": ["exact_match"], "chat": ["loss"]})
    {'gsm8k': {'exact_match': 0.4}}
    """
    results = content.get("results")
    metrics: Metrics = {}
    for task, own in names.items():
        for name in own:
            parts = name.split(":") if ":" in name else [task, name]
            values = results.get(parts[0]) if isinstance(results, dict) else None
            key = ",".join(parts[1:])
            fits = {
                column: value
                for column, value in (values.items() if isinstance(values, dict) else ())
                if column == key or (len(parts) == 2 and column.split(",")[0] == key)
            }
            if len(fits) > 1:
                raise DataError(f"{name} of {task} has several filters: {', '.join(fits)}; write one into metrics.json")
            for value in filter(_is_number, fits.values()):
                metrics.setdefault(task, {})[name] = float(value)
    return metrics


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
