"""Runners of a race: previews that see more and more of the validation data, each example once, in one order."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from foretaste.evaluate import batches, join_batches, judge_model, padded, result_of
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.methods.previews import Previews
from foretaste.methods.race_part import (
    MergedParams,
    Part,
    PartOutputs,
    RacePart,
    drop_merged,
    evaluate_part,
    merged_params,
)
from foretaste.metric_kinds import Predictions
from foretaste.metrics import ExampleSums, example_sums
from foretaste.one_line import one_line
from foretaste.params import Params, in_eval_mode, swapped
from foretaste.store.study import Done
from foretaste.surface.race import Tally
from foretaste.task import Task
from foretaste.together import at_once
from foretaste.weights import TaskWeights
from foretaste.work.context import Watch
from foretaste.work.judge import collect_example_results, row_of, shuffle_validation, use_precision
from foretaste.work.observer import Observer, stop_if_asked
from foretaste.workflow.preview import prepare_merger
from foretaste.workflow.session import Session

__all__ = ["Runner", "Runners"]

_LEAST = 32  # examples of a task in the first look: fewer are no ground for a bootstrap


@dataclass(eq=False)
class Runner:
    """One preview in a race.

    Args:
        weights: alpha.
        key: The row's name in the study.
        row: Where the study has it: then it is judged from what is kept there, and runs to the end.
        parts: What was seen in each part of the race, when it is asked for.
        added: By task, what every example seen adds to the headline.
        seconds: Spent on it.
    """

    weights: TaskWeights
    key: str
    row: Evaluation | None = None
    parts: list[Callable[[], PartOutputs]] = field(default_factory=list)
    added: dict[str, list[ExampleSums]] = field(default_factory=dict)
    seconds: float = 0.0

    __repr__ = one_line


@dataclass(eq=False)
class Runners:
    """All previews of a race, and how far they are.

    Args:
        session: The recipe at work.
        method: Of the previews.
        orders: By task, the places of its validation examples as the race goes through them.
        running: Who has not stopped.
        positions: By task, how many examples the race has gone through.
        evaluated: Evaluations of single examples so far, of all runners.
    """

    session: Session
    method: str
    orders: Mapping[str, Sequence[int]]
    running: list[Runner]
    positions: dict[str, int]
    evaluated: int = 0

    __repr__ = one_line

    @classmethod
    def of(cls, session: Session, method: str, points: Sequence[TaskWeights]) -> "Runners":
        """Line up all previews at the start; those with a row in the study are at the end already.

        Args:
            session: The recipe at work.
            method: One with params, whose tasks' headlines are sums over examples.
            points: Weightings.

        >>> from foretaste.weights import corners
        >>> from foretaste.workflow.example import small_study
        >>> with small_study("finetune: {steps: 9}, curvature: {max_examples: 1}") as session:
        ...     runners = Runners.of(session, "simple", corners(session.problem.names))
        ...     runners.go_on(0.5)
        ...     {task: tally.added.shape for task, tally in runners.tallies().items()}
        {'low': (3, 199), 'mid': (3, 111), 'high': (3, 109)}
        """
        tasks = session.problem.tasks
        prepare_merger(session, method)
        keys = Previews(method, tuple(points)).keys(session)
        running = [Runner(weights, key) for weights, key in zip(points, keys, strict=True)]
        orders = {task.name: shuffle_validation(task, session.recipe.seed) for task in tasks}
        runners = cls(session, method, orders, running, {task.name: 0 for task in tasks})
        finished = session.study.find_all([runner.key for runner in running])
        rows = session.study.evaluations(finished)
        for runner in (runner for runner in running if runner.key in finished):
            runner.row = rows.get(runner.key)
            runner.added = {name: [sums] for name, sums in runners._sums_of_row(finished[runner.key]).items()}
            runners._advance(runner, runners.examples)
        return runners

    @property
    def examples(self) -> int:
        """The number of validation examples of all tasks together."""
        return sum(len(order) for order in self.orders.values())

    def go_on(self, share: float) -> None:
        """Evaluate all who are running on the next part of the data, up to a share of it.

        Raises:
            Stopped: The user asked to.
        """
        ends = {
            task: min(len(order), max(math.ceil(share * len(order)), min(_LEAST, len(order)), self.positions[task]))
            for task, order in self.orders.items()
        }
        part = {task: (self.positions[task], end) for task, end in ends.items() if end > self.positions[task]}
        lacking = [runner for runner in self.running if runner.row is None] if part else []
        size = at_once(self.session.problem.model, self.session.problem.tasks)
        if size > 1:
            for start in range(0, len(lacking), size):
                stop_if_asked(self.session.watch)
                self._together(lacking[start : start + size], part)
        elif lacking:
            self._by_engine(lacking, part)
        self.positions |= ends

    def tallies(self) -> dict[str, Tally]:
        """Tabulate by task what the examples seen so far add to the metric of each running preview."""
        tallies = {}
        for task in self.session.problem.tasks:
            end, first = self.positions[task.name], self.running[0].added[task.name]
            rows = [
                np.concatenate([sums.added.numpy() for sums in runner.added[task.name]])[:end]
                for runner in self.running
            ]
            counts = np.concatenate([sums.counts.numpy() for sums in first])[:end]
            tallies[task.name] = Tally(np.stack(rows), counts, len(task.validation), first[0].exponential)
        return tallies

    def stop(self, places: Sequence[int]) -> list[Runner]:
        """Let some of those who are running go no further."""
        stopped = [self.running[place] for place in places]
        self.running = [runner for runner in self.running if runner not in stopped]
        self.session.watch.advance(len(stopped) * (self.examples - sum(self.positions.values())))
        for runner in stopped:
            drop_merged(self.session, runner.weights)
        return stopped

    def finished(self, runner: Runner) -> Evaluation:
        """Return the row of a preview that has seen all examples, and keep it in the study."""
        if runner.row is not None:
            return runner.row
        session, model, tasks = self.session, self.session.problem.model, self.session.problem.tasks
        begin, parts = time.perf_counter(), [part() for part in runner.parts]
        judgements = {}
        if any(task.judged for task in tasks):
            with (
                in_eval_mode(model),
                swapped(model, self._merged.at(session, runner.weights)),
                use_precision(self.session),
            ):
                judgements = judge_model(model, tasks)
        results = {
            task.name: result_of(
                task, replace(self._whole(task, parts), judged=judgements.get(task.judge, {})), task.metrics
            )
            for task in tasks
        }
        cost = runner.seconds + time.perf_counter() - begin
        row = row_of(results, runner.weights, Fidelity.PREVIEW, self.method, seed=session.recipe.seed, cost=cost)
        return Previews(self.method, (runner.weights,)).keep(session, row, collect_example_results(results))

    def _whole(self, task: Task, parts: Sequence[PartOutputs]) -> Predictions:
        """All that was seen of a task, in the order of its examples."""
        outputs = [part[task.name] for part in parts if task.name in part]
        back = torch.tensor(self.orders[task.name]).argsort()
        texts = [text for output in outputs for text in output.texts]
        columns = [(output.losses, output.predicted, output.labels, output.counted) for output in outputs]
        return join_batches(
            columns, task.loss.padding, back, tuple(texts[place] for place in back.tolist()) if texts else ()
        )

    def _advance(self, runner: Runner, examples: int) -> None:
        self.evaluated += examples
        self.session.watch.advance(examples, str(runner.weights))

    @property
    def _merged(self) -> MergedParams:
        return merged_params(self.session, self.method)

    def _together(self, group: Sequence[Runner], part: Part) -> None:
        """Evaluate several small ones at once; their outputs are held."""
        many: list[Params] = []
        for runner in group:
            begin = time.perf_counter()
            many.append(self._merged.at(self.session, runner.weights))
            runner.seconds += time.perf_counter() - begin
        begin = time.perf_counter()
        outputs = evaluate_part(self.session, self.method, many, part, Observer(self.session.watch, 0))
        for runner, own_outputs in zip(group, outputs, strict=True):
            self._keep(runner, own_outputs, partial(dict, own_outputs))
        for runner in group:
            runner.seconds += (time.perf_counter() - begin) / len(group)
            self._advance(runner, _size(part))

    def _by_engine(self, lacking: Sequence[Runner], part: Part) -> None:
        """Let the engine evaluate large ones; their outputs are in the study then."""
        ranges = tuple((task, *ends) for task, ends in part.items())
        works = [RacePart(self.method, runner.weights, ranges) for runner in lacking]
        watch = _WithinRace(self.session.watch)
        outputs = dict(self.session.engine.run(works, self.session, watch, goes_on=True))
        for work, runner in zip(works, lacking, strict=True):
            runner.seconds += work.done(self.session).seconds
            self._keep(runner, outputs[work], partial(work.stored_result, self.session))
            self.evaluated += _size(part)

    def _keep(self, runner: Runner, outputs: PartOutputs, again: Callable[[], PartOutputs]) -> None:
        runner.parts.append(again)
        for name, sums in self._added(outputs):
            runner.added.setdefault(name, []).append(sums)

    def _added(self, outputs: PartOutputs) -> Iterator[tuple[str, ExampleSums]]:
        for task in self.session.problem.tasks:
            sums = example_sums(task.metrics[0], outputs[task.name]) if task.name in outputs else None
            if sums is not None:
                yield task.name, sums

    def _sums_of_row(self, record: Done) -> dict[str, ExampleSums]:
        """Compute what each example adds from the results of a row in the study, in the race's order."""
        tensors, sight = self.session.study.tensors(record.artefact), {}
        for task in self.session.problem.tasks:
            labels = _labels(task, self.session.recipe.preview.batch_size)
            counted, predicted = task.loss.counts({"labels": labels}), torch.zeros_like(labels)
            predicted[counted] = tensors[f"{task.name}/predicted"].to(labels.dtype)
            losses = tensors[f"{task.name}/losses"].double().unsqueeze(1) * counted
            order = torch.tensor(self.orders[task.name])
            sight[task.name] = Predictions(losses[order], predicted[order], labels[order], counted[order])
        return dict(self._added(sight))


class _WithinRace:
    """The watch of a race's parts: what they evaluate counts for the race, which was announced as a whole."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self.say, self.stopping = watch, watch.say, watch.stopping

    def begin(self, label: str, total: int) -> None:
        pass

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        self._watch.advance(amount, note)


def _size(part: Part) -> int:
    return sum(end - start for start, end in part.values())


def _labels(task: Task, batch_size: int) -> Tensor:
    """`[N, S]`, of all validation examples."""
    order, parts = [], []
    for indices, batch in batches(task.validation, batch_size):
        order += indices
        parts.append(task.collate_all(batch)["labels"].reshape(len(indices), -1))
    return padded(parts, task.loss.padding)[torch.tensor(order).argsort()]
