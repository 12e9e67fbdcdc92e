"""Metrics of lm-evaluation-harness, from the extra ``harness``, which is imported in this one place.

The harness is given the very module whose params are swapped, so that nothing is loaded again for other params. A harness
task is loaded once, too, and passes over it are alike: the same documents, the same examples in prompts, the same seeds.

References:
    The Language Model Evaluation Harness, Gao et al., 2024, https://zenodo.org/records/12608602
"""

import copy
import inspect
import logging
import os
import random
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import nn

from foretaste.errors import DataError, MissingExtra, TaskError
from foretaste.names import first_few
from foretaste.sources.chat import chat_template
from foretaste.sources.extra import transformers
from foretaste.sources.pretrained import at, quiet
from foretaste.sources.problem import text_digest
from foretaste.sources.request import HarnessOptions
from foretaste.task import ModelMetric

try:
    import lm_eval
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
except ImportError as error:  # pragma: no cover - the tests install the extra, and try without it in another process
    raise MissingExtra("metrics such as arc_easy:acc need lm_eval; install it with: pip install 'foretaste[harness]'") from error

__all__ = ["Asked", "Harness", "asked"]

_SEED = 1234
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
_PLACES = ("dataset_path", "dataset_name", "dataset_kwargs", "metadata", "tag", "task_alias")  # the data itself is looked at


@dataclass(frozen=True)
class Asked:
    """A harness metric, as a recipe names it.

    Args:
        name: All of it, as it appears in tables.
        task: Of the harness; or a group that says how its tasks' metrics become one.
        metric: Of this task.
        filter: How answers are read before they are judged; may be left out where there is one way.
    """

    name: str
    task: str
    metric: str
    filter: str | None = None


def asked(name: str) -> Asked:
    """The harness metric of a name.

    >>> asked("gsm8k:exact_match:strict-match").filter
    'strict-match'
    """
    return Asked(name, *name.split(":"))


@dataclass(frozen=True)
class _Loaded:
    """A harness task, or a group of some, as the harness's own evaluation takes it; and its metrics, filters, directions."""

    name: str
    found: Mapping[str, Mapping[str, object]]
    offers: Mapping[tuple[str, str], bool]

    @property
    def tasks(self) -> list[ConfigurableTask]:
        return list(self.found["tasks"].values())

    def key(self, metric: Asked) -> tuple[str, str]:
        """Metric and filter, if there are such."""
        there = list(dict.fromkeys(each for each, _ in self.offers))
        if metric.metric not in there:
            raise DataError(f"harness task {self.name!r} has no metric {metric.metric!r}; it has {', '.join(there)}")
        filters = [each for name, each in self.offers if name == metric.metric]
        if metric.filter is None and len(filters) > 1:
            choice = " or ".join(f"{metric.name}:{each}" for each in filters)
            raise DataError(f"harness task {self.name!r} reads answers in several ways; write {choice}")
        if metric.filter not in (None, *filters):
            raise DataError(f"{metric.metric} of harness task {self.name!r} has no filter {metric.filter!r}; it has {', '.join(filters)}")
        return metric.metric, metric.filter or filters[0]


class Harness:
    """Harness tasks over one model: the judge of all tasks of a problem.

    Args:
        tokenizer: The model's; a copy is taken.
        padding: Id of its padding token.
        options: How tasks are asked.

    Raises:
        DataError: The folder of one's own tasks is not there.
    """

    def __init__(self, tokenizer: "transformers.PreTrainedTokenizerBase", padding: int, options: HarnessOptions) -> None:
        if options.tasks is not None and not Path(options.tasks).is_dir():
            raise DataError(f"{options.tasks} is no folder; relative paths start at the recipe's folder").at("model", "harness", "tasks")
        self._tokenizer, self._options = copy.deepcopy(tokenizer), options
        self._tokenizer.pad_token_id = padding
        self._chat = at(("model", "harness", "chat_template"), chat_template, self._tokenizer) if options.chat_template else None
        self._loaded: dict[str, _Loaded] = {}
        self._lent: _Lent | None = None

    def metric(self, wanted: Asked) -> ModelMetric:
        """The metric, with the direction that its harness task says; the task is loaded once.

        Raises:
            DataError: There is no such harness task, metric or filter, or the task's data cannot be had.
        """
        if wanted.task not in self._loaded:
            self._loaded[wanted.task] = _load(wanted.task, self._options)
        loaded = self._loaded[wanted.task]
        return ModelMetric(wanted.name, loaded.offers[loaded.key(wanted)])

    def fingerprint(self, names: Collection[str]) -> str:
        """Hash of all that metrics of these names depend on beside the model: what tasks say, their code and documents, the options."""
        tasks = [self._loaded[name] for name in dict.fromkeys(asked(each).task for each in names)]
        with _muted():
            return text_digest([[_digest(loaded, self._options.limit) for loaded in tasks], self._options.limit, self._chat, _SEED])

    @property
    def fact(self) -> str:
        """Versions and sizes, for the provenance of results."""
        told = []
        for loaded in self._loaded.values():
            versions = ", ".join(sorted({str(task.VERSION) for task in loaded.tasks}))
            count = sum(min(len(task.eval_docs), self._options.limit or sys.maxsize) for task in loaded.tasks)
            told.append(f"{loaded.name} (version {versions}, {count} documents)")
        return f"lm_eval {lm_eval.__version__}: {', '.join(told)}"

    def __call__(self, model: nn.Module, names: Collection[str], most: int | None) -> dict[str, float]:
        """The numbers of some metrics; one pass for all those of one harness task.

        Args:
            model: A causal transformers language model, in evaluation mode, with the params to judge.
            names: Of metrics that `metric` has given.
            most: At most so many documents of each task, beside the limit of the options.

        Raises:
            TaskError: A harness task that fails, or does not give a metric that it names.
        """
        passes: dict[str, Mapping[str, object]] = {}
        found = {}
        for each in (asked(name) for name in names):
            loaded = self._loaded[each.task]
            if each.task not in passes:
                passes[each.task] = self._passed(model, loaded, most)
            number = passes[each.task].get(",".join(loaded.key(each)))
            if not isinstance(number, int | float):
                raise TaskError(f"harness task {each.task!r} gave no number for {each.name}; it gave {_some(passes[each.task])}")
            found[each.name] = float(number)
        return found

    def _passed(self, model: nn.Module, loaded: _Loaded, most: int | None) -> Mapping[str, object]:
        """All that the harness says of one task or group."""
        limit = min((each for each in (self._options.limit, most) if each is not None), default=None)
        if self._lent is None or self._lent.model is not model:
            with _muted():
                size = self._options.batch_size or 8
                self._lent = _Lent(pretrained=model, backend="causal", tokenizer=self._tokenizer, batch_size=size)
        self._lent.screen = sys.stderr
        chat = {"apply_chat_template": self._chat is not None, "fewshot_as_multiturn": self._chat is not None}
        with quiet(), _seeded(loaded.tasks, self._lent.device), _muted():
            try:
                found = evaluate(lm=self._lent, task_dict=loaded.found, limit=limit, bootstrap_iters=0, log_samples=False, **chat)
            except Exception as error:
                raise TaskError(f"harness task {loaded.name!r} failed: {type(error).__name__}: {error}") from error
        results: Mapping[str, Mapping[str, object]] = found["results"]
        return results[loaded.name]


class _Lent(HFLM):  # type: ignore[misc] # lm_eval is not typed
    """The harness's view of a model that others move and swap the params of; the screen is ours while the model computes."""

    screen: TextIO

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device  # type: ignore[no-any-return] # lm_eval is not typed

    def _model_call(self, *inputs: object, **options: object) -> object:
        with redirect_stderr(self.screen):
            return super()._model_call(*inputs, **options)

    def _model_generate(self, *inputs: object, **options: object) -> object:
        with redirect_stderr(self.screen):
            return super()._model_generate(*inputs, **options)


def _load(name: str, options: HarnessOptions) -> _Loaded:
    """A task of one's own, or else of the harness."""
    with _muted():
        manager = _manager(name, options.tasks)
        try:
            found = manager.load([name])
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            advice = "where its data is not on this machine, fetch it once with a network, or name another task"
            raise DataError(f"harness task {name!r} cannot be loaded: {type(error).__name__}: {said}; {advice}") from error
    for each, task in found["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            raise DataError(f"harness task {each!r} runs code that the model writes, which is not done here; name another task")
        if getattr(task, "MULTIMODAL", False):
            raise DataError(f"harness task {each!r} has images or sounds, which the model does not read; name another task")
        _settle(task, options.num_fewshot)
    offers = {key: better for task in found["tasks"].values() for key, better in _offers(task).items()}
    if name in found.get("groups", {}):
        joined = {each.metric: each.filter_list for each in found["groups"][name].aggregate_metric_list or ()}
        offers = {key: better for key, better in offers.items() if key[0] in joined and key[1] in (joined[key[0]] or (key[1],))}
        if not offers:
            raise DataError(f"harness group {name!r} does not say how its tasks' metrics become one; name one of {_some(found['tasks'])}")
    return _Loaded(name, found, offers)


def _settle(task: ConfigurableTask, num_fewshot: int | None) -> None:
    """Examples in prompts as the harness itself counts them, so that a task that says 0 stays so; and greedy decoding."""
    own, said = task.get_config("num_fewshot"), task.get_config("generation_kwargs")
    if own != 0:
        task.set_config("num_fewshot", own or 0 if num_fewshot is None else num_fewshot)
    if said:
        task.set_config("generation_kwargs", {name: each for name, each in said.items() if name not in _SAMPLING} | {"do_sample": False})


def _manager(name: str, folder: str | None) -> TaskManager:
    """Who knows the task."""
    own = TaskManager(include_path=folder, include_defaults=False)
    manager = own if name in own.all_tasks else _builtin()
    if name in manager.all_tags:
        there = _some(manager.task_index[name].tags)
        raise DataError(f"{name!r} is a tag of harness tasks, which have no metric in common; name one of {there}")
    if name not in manager.all_tasks:
        near = get_close_matches(name, [*own.all_tasks, *manager.all_tasks], n=4)
        hint = f"near are {', '.join(near)}" if near else "`lm-eval ls tasks` lists them"
        yours = f"; {folder} has {_some(own.all_tasks) or 'no task that can be read'}" if folder else ""
        raise DataError(f"lm-evaluation-harness has no task {name!r}; {hint}{yours}")
    return manager


@cache
def _builtin() -> TaskManager:
    """The harness's own tasks, in thousands of files, which take a while to look through."""
    return TaskManager()


def _some(names: Collection[str]) -> str:
    return first_few(sorted(names))


def _offers(task: ConfigurableTask) -> dict[tuple[str, str], bool]:
    """A task's metrics and filters, with whether more is better."""
    filters = [each["name"] for each in task.get_config("filter_list") or ()] or ["none"]
    directions = {str(metric): better for metric, better in task.higher_is_better().items() if better is not None}
    return {(metric, each): bool(better) for metric, better in directions.items() for each in filters}


def _digest(loaded: _Loaded, limit: int | None) -> list[object]:
    """What a task or group says of itself, its documents, and the code of its functions."""
    groups = [group.to_dict() for group in loaded.found.get("groups", {}).values()]  # type: ignore[attr-defined] # lm_eval is not typed
    parts = [loaded.name, sorted(loaded.offers.items()), _plain(groups)]
    for task in loaded.tasks:
        config = {name: each for name, each in task.config.to_dict(keep_callable=True).items() if name not in _PLACES}
        examples = list(task.fewshot_docs() or ()) if task.get_config("num_fewshot") else []
        documents = [_plain(dict(document)) for _, document in task.doc_iterator(limit=limit)]
        code = "" if type(task) is ConfigurableTask else _plain(type(task))
        parts.append([task.VERSION, _plain(config), code, text_digest(documents), text_digest(_plain(dict(each)) for each in examples)])
    return parts


def _plain(value: object) -> object:
    """A value whose text is the same in every process; of a function or class the file that it is written in."""
    if isinstance(value, Mapping):
        return sorted((str(name), _plain(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if callable(value):
        try:
            return text_digest([getattr(value, "__qualname__", ""), Path(inspect.getsourcefile(value) or "").read_text()])
        except (TypeError, OSError):
            return getattr(value, "__qualname__", type(value).__qualname__)
    return value


@contextmanager
def _seeded(tasks: Sequence[ConfigurableTask], device: torch.device) -> Iterator[None]:
    """The same draws in every pass: of examples in prompts, and of whatever a task draws itself; all others go on undisturbed."""
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        random.seed(_SEED)
        np.random.seed(_SEED)
        torch.manual_seed(_SEED)
        try:
            for task in tasks:
                task.set_fewshot_seed(_SEED)
            yield
        finally:
            random.setstate(drawn)
            np.random.set_state(drawn_by_numpy)


@contextmanager
def _muted() -> Iterator[None]:
    """No log, bars or prints of the harness."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
            yield
    finally:
        logger.setLevel(level)
