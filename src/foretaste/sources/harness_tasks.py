"""Tasks of lm-evaluation-harness: how they are found and loaded, and what identifies their content."""

import inspect
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from foretaste.errors import DataError
from foretaste.names import first_few
from foretaste.one_line import one_line
from foretaste.sources.harness_extra import ConfigurableTask, TaskManager
from foretaste.sources.problem import text_digest
from foretaste.sources.request import HarnessMetric, HarnessOptions

__all__ = ["HarnessTasks", "describe_tasks", "load_tasks", "mute", "parse_metric"]

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")


_PLACES = (
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "metadata",
    "tag",
    "task_alias",
)  # the data itself is looked at


def parse_metric(name: str) -> HarnessMetric:
    """Parse a metric's name.

    >>> parse_metric("gsm8k:exact_match:strict-match").filter
    'strict-match'
    """
    return HarnessMetric(name, *name.split(":"))


@dataclass(frozen=True)
class HarnessTasks:
    """A harness task or group with its metrics.

    Args:
        name: Name of the task or group.
        entries: The harness's own objects, under ``tasks`` and ``groups`` by name.
        offers: Whether more is better, by metric and filter.
    """

    name: str
    entries: Mapping[str, Mapping[str, object]]
    offers: Mapping[tuple[str, str], bool]

    __repr__ = one_line

    @property
    def tasks(self) -> list[ConfigurableTask]:
        return list(self.entries["tasks"].values())

    def key(self, metric: HarnessMetric) -> tuple[str, str]:
        """Return metric and filter of a request.

        Raises:
            DataError: The task has no such metric or filter.
        """
        there = list(dict.fromkeys(filter_name for filter_name, _ in self.offers))
        if metric.metric not in there:
            raise DataError(f"harness task {self.name!r} has no metric {metric.metric!r}; it has {', '.join(there)}")
        filters = [filter_name for name, filter_name in self.offers if name == metric.metric]
        if metric.filter is None and len(filters) > 1:
            choice = " or ".join(f"{metric.name}:{filter_name}" for filter_name in filters)
            raise DataError(f"harness task {self.name!r} reads answers in several ways; write {choice}")
        if metric.filter not in (None, *filters):
            raise DataError(
                f"{metric.metric} of harness task {self.name!r} has no filter {metric.filter!r}; it has"
                f" {', '.join(filters)}"
            )
        return metric.metric, metric.filter or filters[0]


def load_tasks(name: str, options: HarnessOptions) -> HarnessTasks:
    """Load a task from the folder of the user's own tasks, or else from the harness.

    Raises:
        DataError: There is no such task, its data cannot be loaded, or it needs what is not supported.
    """
    with mute():
        manager = _manager(name, options.tasks)
        try:
            loaded = manager.load([name])
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            advice = "where its data is not on this machine, fetch it once with a network, or name another task"
            raise DataError(
                f"harness task {name!r} cannot be loaded: {type(error).__name__}: {reason}; {advice}"
            ) from error
    for task_name, task in loaded["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            raise DataError(
                f"harness task {task_name!r} runs code that the model writes, which is not done here; name another task"
            )
        if getattr(task, "MULTIMODAL", False):
            raise DataError(
                f"harness task {task_name!r} has images or sounds, which the model does not read; name another task"
            )
        _settle(task, options.num_fewshot)
    offers = {key: better for task in loaded["tasks"].values() for key, better in _offers(task).items()}
    if name in loaded.get("groups", {}):
        joined = {
            task_name.metric: task_name.filter_list for task_name in loaded["groups"][name].aggregate_metric_list or ()
        }
        offers = {
            key: better
            for key, better in offers.items()
            if key[0] in joined and key[1] in (joined[key[0]] or (key[1],))
        }
        if not offers:
            raise DataError(
                f"harness group {name!r} does not say how its tasks' metrics become one; name one of"
                f" {first_few(sorted(loaded['tasks']))}"
            )
    return HarnessTasks(name, loaded, offers)


def _settle(task: ConfigurableTask, num_fewshot: int | None) -> None:
    """Set the number of examples in prompts, as the harness would, and greedy decoding.

    A task whose own number is 0 keeps it.
    """
    own, sampling = task.get_config("num_fewshot"), task.get_config("generation_kwargs")
    if own != 0:
        task.set_config("num_fewshot", own or 0 if num_fewshot is None else num_fewshot)
    if sampling:
        task.set_config(
            "generation_kwargs",
            {name: value for name, value in sampling.items() if name not in _SAMPLING} | {"do_sample": False},
        )


def _manager(name: str, folder: str | None) -> TaskManager:
    """Return the manager that knows the task."""
    own = TaskManager(include_path=folder, include_defaults=False)
    manager = own if name in own.all_tasks else _builtin()
    if name in manager.all_tags:
        there = first_few(sorted(manager.task_index[name].tags))
        raise DataError(f"{name!r} is a tag of harness tasks, which have no metric in common; name one of {there}")
    if name not in manager.all_tasks:
        near = get_close_matches(name, [*own.all_tasks, *manager.all_tasks], n=4)
        hint = f"near are {', '.join(near)}" if near else "`lm-eval ls tasks` lists them"
        yours = f"; {folder} has {first_few(sorted(own.all_tasks)) or 'no task that can be read'}" if folder else ""
        raise DataError(f"lm-evaluation-harness has no task {name!r}; {hint}{yours}")
    return manager


@cache
def _builtin() -> TaskManager:
    """Return the manager of the harness's own tasks, which are in thousands of files and take a while to index."""
    return TaskManager()


def _offers(task: ConfigurableTask) -> dict[tuple[str, str], bool]:
    """Return whether more is better, by each of a task's metrics and filters."""
    filters = [filter_name["name"] for filter_name in task.get_config("filter_list") or ()] or ["none"]
    directions = {str(metric): better for metric, better in task.higher_is_better().items() if better is not None}
    return {(metric, filter_name): bool(better) for metric, better in directions.items() for filter_name in filters}


def describe_tasks(loaded: HarnessTasks, limit: int | None) -> list[object]:
    """Describe tasks for a fingerprint: their configuration, their documents, and the code of their functions."""
    entries = loaded.entries.get("groups", {}).values()
    groups = [group.to_dict() for group in entries]  # type: ignore[attr-defined]
    parts = [loaded.name, sorted(loaded.offers.items()), _plain(groups)]
    for task in loaded.tasks:
        config = {name: value for name, value in task.config.to_dict(keep_callable=True).items() if name not in _PLACES}
        examples = list(task.fewshot_docs() or ()) if task.get_config("num_fewshot") else []
        documents = [_plain(dict(document)) for _, document in task.doc_iterator(limit=limit)]
        code = "" if type(task) is ConfigurableTask else _plain(type(task))
        parts.append(
            [
                task.VERSION,
                _plain(config),
                code,
                text_digest(documents),
                text_digest(_plain(dict(value)) for value in examples),
            ]
        )
    return parts


def _plain(value: object) -> object:
    """Replace a value by one whose text is the same in every process; functions and classes by their source file."""
    if isinstance(value, Mapping):
        return sorted((str(name), _plain(element)) for name, element in value.items())
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    if callable(value):
        try:
            return text_digest(
                [getattr(value, "__qualname__", ""), Path(inspect.getsourcefile(value) or "").read_text()]
            )
        except (TypeError, OSError):
            return getattr(value, "__qualname__", type(value).__qualname__)
    return value


@contextmanager
def mute() -> Iterator[None]:
    """Keep the harness from logging and printing."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
            yield
    finally:
        logger.setLevel(level)
