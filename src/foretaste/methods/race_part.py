"""Parts of a race of previews: the outputs of one preview on some of the validation data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from foretaste.evaluate import predict_examples
from foretaste.methods.previews import Previews, memory_of, merger_of
from foretaste.methods.site_set import Merger
from foretaste.metric_kinds import Predictions
from foretaste.params import Params, in_eval_mode, swapped
from foretaste.posterior.placing import bytes_of
from foretaste.remembered import Memory
from foretaste.store.study import Done, Json
from foretaste.together import predict_examples_of_each
from foretaste.weights import TaskWeights
from foretaste.work.context import Context
from foretaste.work.judge import reestimate_statistics, select_examples, shuffle_validation, use_precision
from foretaste.work.observer import Observer
from foretaste.work.work import Computation, Work

__all__ = ["MergedParams", "Part", "PartOutputs", "RacePart", "drop_merged", "evaluate_part", "merged_params"]

PartOutputs = Mapping[str, Predictions]  # by task, on some examples in the race's order
Part = Mapping[str, tuple[int, int]]  # by task, the first example and the one after the last, in the race's order

_MEMORY = 2 << 30  # bytes of merged params in memory between parts
_SMALLEST, _BATCHES = 8, 4  # examples of a batch, batches of a part; a batch costs as much as its longest example


@dataclass(frozen=True)
class RacePart(Computation[PartOutputs]):
    """The outputs of one preview on a part of the validation data.

    Args:
        method: The preview's method.
        weights: alpha.
        ranges: Each task's name, with the first and the last example of the part, in the race's order.
    """

    method: str
    weights: TaskWeights
    ranges: tuple[tuple[str, int, int], ...]

    stage = "race of previews"
    kind = "slice"

    def __str__(self) -> str:
        return f"preview by {self.method} at {self.weights}, on a part of the data"

    @property
    def part(self) -> Part:
        """The first example of the part and the one after the last, by task."""
        return {task: (start, end) for task, start, end in self.ranges}

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return Previews(self.method, (self.weights,)).needs(context)

    def size(self, context: Context) -> int:
        return sum(end - start for start, end in self.part.values())

    def inputs(self, context: Context) -> dict[str, object]:
        row = Previews(self.method, (self.weights,)).keys(context)[0]
        return {"of": row, "seed": context.recipe.seed, "part": {task: list(ends) for task, ends in self.part.items()}}

    def make(self, context: Context, observer: Observer) -> tuple[Json, Params]:
        params = merged_params(context, self.method).at(context, self.weights)
        return {}, _to_tensors(evaluate_part(context, self.method, [params], self.part, observer)[0])

    def read(self, context: Context, done: Done) -> PartOutputs:
        tensors, outputs = context.study.tensors(done.artefact), dict[str, Predictions]()
        for task in dict.fromkeys(name.partition("/")[0] for name in tensors):
            texts = json.loads(bytes(tensors[f"{task}/texts"].tolist())) if f"{task}/texts" in tensors else []
            pairs = tuple((written, reference) for written, reference in texts)
            labels = tensors[f"{task}/labels"]
            counted = context.task(task).loss.counts({"labels": labels})
            outputs[task] = Predictions(tensors[f"{task}/losses"], tensors[f"{task}/predicted"], labels, counted, pairs)
        return outputs


def _to_tensors(outputs: PartOutputs) -> dict[str, Tensor]:
    """Write outputs as tensors, and texts as the bytes of a JSON list."""
    tensors: dict[str, Tensor] = {}
    for task, own in outputs.items():
        tensors |= {f"{task}/losses": own.losses, f"{task}/predicted": own.predicted, f"{task}/labels": own.labels}
        if own.texts:
            tensors[f"{task}/texts"] = torch.tensor(list(json.dumps(own.texts).encode()), dtype=torch.uint8)
    return tensors


@dataclass(eq=False)
class MergedParams:
    """The params of previews; up to 2 GiB of them stay in memory between parts of a race.

    Args:
        merger: Makes the params.
        memory: The outputs that previews share when they are evaluated one after the other.
    """

    merger: Merger
    memory: Memory
    _stored: dict[TaskWeights, Params] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"MergedParams({len(self._stored)} in memory)"

    def at(self, context: Context, weights: TaskWeights) -> Params:
        """Return the preview's params at some weights."""
        if weights in self._stored:
            return self._stored[weights]
        params = reestimate_statistics(context, self.merger.merge(weights).params, weights)
        previews = [*self._stored.values(), params]
        if bytes_of(previews) <= _MEMORY:
            self._stored[weights] = params
        return params

    def drop(self, weights: TaskWeights) -> None:
        """Remove the params at some weights from memory."""
        self._stored.pop(weights, None)


def merged_params(context: Context, method: str) -> MergedParams:
    """Return the merged params of a method's previews, which the context remembers."""
    _, merger = merger_of(context, method)
    return context.remember(
        "merged params", context.key_in("merger"), lambda: MergedParams(merger, memory_of(context, merger))
    )


def drop_merged(context: Context, weights: TaskWeights) -> None:
    """Remove merged params at some weights from the context's memory, if they are there."""
    merged = context.memory.get("merged params", (None, None))[1]
    if isinstance(merged, MergedParams):
        merged.drop(weights)


def evaluate_part(
    context: Context, method: str, many: Sequence[Params], part: Part, observer: Observer
) -> list[PartOutputs]:
    """Evaluate params on a part of the validation data, small ones together.

    Args:
        context: A context with the model and the tasks.
        method: The previews' method.
        many: The params of each preview.
        part: The first example and the one after the last, by task.
        observer: May stop the evaluation.
    """
    model = context.problem.model
    tasks = [task for task in context.problem.tasks if task.name in part]
    seed = context.recipe.seed
    examples = {
        task.name: select_examples(task.validation, shuffle_validation(task, seed)[slice(*part[task.name])])
        for task in tasks
    }
    longest = max((len(subset) for subset in examples.values()), default=1)
    # Among few examples, few have similar lengths, so batches are small.
    size = min(context.recipe.preview.batch_size, max(_SMALLEST, -(-longest // _BATCHES)))
    with in_eval_mode(model), merged_params(context, method).memory.at_work(), use_precision(context):
        if len(many) == 1:
            with swapped(model, many[0]):
                return [{task.name: predict_examples(model, task, examples[task.name], size) for task in tasks}]
        outputs = {
            task.name: predict_examples_of_each(
                model, many, task, examples[task.name], size, on_batch=observer.stop_if_asked
            )
            for task in tasks
        }
    return [{name: predictions[place] for name, predictions in outputs.items()} for place in range(len(many))]
