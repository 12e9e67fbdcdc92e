"""Metrics of lm-evaluation-harness, from the extra ``harness``.

The harness evaluates the very module whose params are swapped, so that other params need no new model. Each harness
task is loaded once. All passes over it have the same documents, the same examples in prompts and the same seeds.

References:
    The Language Model Evaluation Harness, Gao et al., 2024, https://zenodo.org/records/12608602
"""

import copy
import random
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import nn

from foretaste.errors import DataError, TaskError
from foretaste.metric_kinds import ModelMetric
from foretaste.names import first_few
from foretaste.sources.chat import chat_template
from foretaste.sources.extra import transformers
from foretaste.sources.harness_extra import HFLM, ConfigurableTask, evaluate, lm_eval
from foretaste.sources.harness_tasks import HarnessTasks, describe_tasks, load_tasks, mute, parse_metric
from foretaste.sources.pretrained import at, quiet
from foretaste.sources.problem import text_digest
from foretaste.sources.request import HarnessMetric, HarnessOptions

__all__ = ["Harness"]

_SEED = 1234


class Harness:
    """Harness tasks over one model: the judge of all tasks of a problem.

    Args:
        tokenizer: The model's tokenizer, of which a copy is taken.
        padding: Id of its padding token.
        options: How tasks are run.

    Raises:
        DataError: The folder of the user's own tasks does not exist.
    """

    def __init__(
        self, tokenizer: "transformers.PreTrainedTokenizerBase", padding: int, options: HarnessOptions
    ) -> None:
        if options.tasks is not None and not Path(options.tasks).is_dir():
            raise DataError(f"{options.tasks} is not a folder; relative paths start at the recipe's folder").at(
                "model", "harness", "tasks"
            )
        self._tokenizer, self._options = copy.deepcopy(tokenizer), options
        self._tokenizer.pad_token_id = padding
        self._chat = (
            at(("model", "harness", "chat_template"), chat_template, self._tokenizer) if options.chat_template else None
        )
        self._loaded: dict[str, HarnessTasks] = {}
        self._lent: _Lent | None = None

    def metric(self, request: HarnessMetric) -> ModelMetric:
        """Return a metric with the direction that its harness task gives it; each task is loaded once.

        Raises:
            DataError: There is no such harness task, metric or filter, or the task's data cannot be loaded.
        """
        if request.task not in self._loaded:
            self._loaded[request.task] = load_tasks(request.task, self._options)
        loaded = self._loaded[request.task]
        return ModelMetric(request.name, loaded.offers[loaded.key(request)])

    def fingerprint(self, names: Collection[str]) -> str:
        """Hash what metrics depend on besides the model: their tasks' configuration, code, documents and options."""
        tasks = [self._loaded[name] for name in dict.fromkeys(parse_metric(metric).task for metric in names)]
        with mute():
            return text_digest(
                [
                    [describe_tasks(loaded, self._options.limit) for loaded in tasks],
                    self._options.limit,
                    self._chat,
                    _SEED,
                ]
            )

    @property
    def fact(self) -> str:
        """Describe versions and sizes, for the provenance of results."""
        parts = []
        for loaded in self._loaded.values():
            versions = ", ".join(sorted({str(task.VERSION) for task in loaded.tasks}))
            count = sum(min(len(task.eval_docs), self._options.limit or sys.maxsize) for task in loaded.tasks)
            parts.append(f"{loaded.name} (version {versions}, {count} documents)")
        return f"lm_eval {lm_eval.__version__}: {', '.join(parts)}"

    def __call__(self, model: nn.Module, names: Collection[str], most: int | None) -> dict[str, float]:
        """Compute some metrics, with one pass for all metrics of a harness task.

        Args:
            model: A causal transformers language model, in evaluation mode, with the params to judge.
            names: Names of metrics that `metric` has returned.
            most: Most documents of each task, besides the limit of the options; None for no other limit.

        Raises:
            TaskError: A harness task fails, or does not compute a metric that it names.
        """
        passes: dict[str, Mapping[str, object]] = {}
        numbers = {}
        for metric in (parse_metric(name) for name in names):
            loaded = self._loaded[metric.task]
            if metric.task not in passes:
                passes[metric.task] = self._passed(model, loaded, most)
            number = passes[metric.task].get(",".join(loaded.key(metric)))
            if not isinstance(number, int | float):
                raise TaskError(
                    f"harness task {metric.task!r} gave no number for {metric.name}; it gave"
                    f" {first_few(sorted(passes[metric.task]))}"
                )
            numbers[metric.name] = float(number)
        return numbers

    def _passed(self, model: nn.Module, loaded: HarnessTasks, most: int | None) -> Mapping[str, object]:
        """Run one task or group, and return the harness's results."""
        limit = min((bound for bound in (self._options.limit, most) if bound is not None), default=None)
        if self._lent is None or self._lent.model is not model:
            with mute():
                size = self._options.batch_size or 8
                self._lent = _Lent(pretrained=model, backend="causal", tokenizer=self._tokenizer, batch_size=size)
        self._lent.screen = sys.stderr
        chat = {"apply_chat_template": self._chat is not None, "fewshot_as_multiturn": self._chat is not None}
        with quiet(), _seeded(loaded.tasks, self._lent.device), mute():
            try:
                outcome = evaluate(
                    lm=self._lent, task_dict=loaded.entries, limit=limit, bootstrap_iters=0, log_samples=False, **chat
                )
            except Exception as error:
                raise TaskError(f"harness task {loaded.name!r} failed: {type(error).__name__}: {error}") from error
        results: Mapping[str, Mapping[str, object]] = outcome["results"]
        return results[loaded.name]


class _Lent(HFLM):  # type: ignore[misc] # lm_eval is not typed
    """The harness's view of a model whose params and device others change.

    While the model computes, progress bars of foretaste are shown again.
    """

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


@contextmanager
def _seeded(tasks: Sequence[ConfigurableTask], device: torch.device) -> Iterator[None]:
    """Make every pass draw the same random numbers, such as examples in prompts.

    Random numbers outside are undisturbed.
    """
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
