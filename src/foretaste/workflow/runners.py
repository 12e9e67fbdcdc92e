"""Runners of a race: previews that see more and more of the validation data, each example once, all in the same order."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from foretaste.engine import REVISION, do, do_evaluation, stop_if_asked
from foretaste.evaluate import batches, join_batches, judge_model, padded, predict_examples, result_of
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.metrics import Adds, adds
from foretaste.one_line import one_line
from foretaste.params import Params, in_eval_mode, swapped
from foretaste.remembered import Memory
from foretaste.store.study import Done, Json, Study, key_of
from foretaste.surface.race import Tally
from foretaste.task import Predictions, Task
from foretaste.together import at_once, predict_examples_of_each
from foretaste.weights import TaskWeights
from foretaste.workflow.fit import Fitted
from foretaste.workflow.judge import Some, at_precision, judged_by, made_row, per_example, shuffled, with_statistics
from foretaste.workflow.made import Ready
from foretaste.workflow.preview import memory_of, named_by, ready
from foretaste.workflow.resident import resident
from foretaste.workflow.session import Session

__all__ = ["Runner", "Runners"]

_HELD = 2 << 30  # bytes of merged params kept from look to look
_SMALLEST, _BATCHES = 8, 4  # examples of a batch, and batches of a part: a batch costs as much as its longest
_LEAST = 32  # examples of a task in the first look: fewer are no ground for a bootstrap

Sight = Mapping[str, Predictions]  # of each task, some examples in the race's order


@dataclass(eq=False)
class Runner:
    """One preview.

    Args:
        weights: alpha.
        inputs: All that its row depends on.
        row: Where the study has it: then it is judged from what is kept there, and runs to the end.
        parts: What was seen in each part of the race, when it is asked for.
        added: By task, what every example seen adds to the headline.
        seconds: Spent on it.
        params: Merged, where they are held.
    """

    weights: TaskWeights
    inputs: Json
    row: Evaluation | None = None
    parts: list[Callable[[], Sight]] = field(default_factory=list)
    added: dict[str, list[Adds]] = field(default_factory=dict)
    seconds: float = 0.0
    params: Params | None = None

    __repr__ = one_line

    @property
    def key(self) -> str:
        """Of its row."""
        return key_of("evaluation", {**self.inputs, "revision": REVISION["evaluation"]})


@dataclass(eq=False)
class Runners:
    """All previews of a race, and how far they are.

    Args:
        session: The recipe at work.
        method: Of the previews.
        merged: Gives their params.
        orders: By task, the places of its validation examples as the race goes through them.
        running: Who has not stopped.
        seen: By task, how many examples the race has gone through.
        evaluated: Evaluations of single examples so far, of all runners.

    Attributes:
        memory: Of what all of them share, for the part of the data in hand.
    """

    session: Session
    method: str
    merged: Ready
    orders: Mapping[str, Sequence[int]]
    running: list[Runner]
    seen: dict[str, int]
    evaluated: int = 0
    memory: Memory = field(init=False)

    __repr__ = one_line

    @classmethod
    def of(cls, session: Session, fitted: Mapping[str, Fitted], method: str, points: Sequence[TaskWeights]) -> "Runners":
        """At the start; who has a row in the study is at the end already.

        Args:
            session: The recipe at work.
            fitted: Every task's site.
            method: One with params, whose tasks' headlines are sums over examples.
            points: Weightings.

        >>> import pathlib, tempfile
        >>> from foretaste.recipe import parse
        >>> from foretaste.weights import corners
        >>> from foretaste.workflow.fit import fit
        >>> from foretaste.workflow.session import load
        >>> from foretaste.workflow.start import start
        >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 9}, curvature: {max_examples: 1}}")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
        ...     with session.study:
        ...         found = Runners.of(session, fit(session), "simple", corners(session.problem.names))
        ...         found.go_on(0.5)
        ...         {task: tally.added.shape for task, tally in found.tallies().items()}
        {'low': (3, 199), 'mid': (3, 111), 'high': (3, 109)}
        """
        tasks, (sites, merged) = session.problem.tasks, ready(session, fitted, method)
        merged = resident(session, merged)
        running = [Runner(each, {**named_by(session, method, sites, merged, each), **judged_by(session)}) for each in points]
        orders = {task.name: shuffled(task, session.recipe.seed) for task in tasks}
        found = cls(session, method, merged, orders, running, {task.name: 0 for task in tasks})
        finished = session.study.find_all([runner.key for runner in running])
        rows = session.study.evaluations(finished)
        for runner in (runner for runner in running if runner.key in finished):
            runner.row = rows.get(runner.key)
            runner.added = {name: [each] for name, each in found._known(finished[runner.key]).items()}
            found._advance(runner, found.examples)
        return found

    @property
    def examples(self) -> int:
        """Of all tasks together."""
        return sum(len(order) for order in self.orders.values())

    def go_on(self, share: float) -> None:
        """Evaluate all who are running on the next part of the data, up to a share of it.

        Raises:
            Stopped: The user asked to.
        """
        ends = {
            task: min(len(order), max(math.ceil(share * len(order)), min(_LEAST, len(order)), self.seen[task]))
            for task, order in self.orders.items()
        }
        part = {task: (self.seen[task], end) for task, end in ends.items() if end > self.seen[task]}
        lacking = [runner for runner in self.running if runner.row is None] if part else []
        size = at_once(self.session.problem.model, self.session.problem.tasks)
        self.memory = memory_of(self.session, self.merged)
        for start in range(0, len(lacking), size):
            stop_if_asked(self.session.watch)
            some = lacking[start : start + size]
            if size > 1:
                self._together(some, part)
            else:
                self._alone(some[0], part)
            for runner in some:
                self._advance(runner, sum(end - begin for begin, end in part.values()))
        self.seen |= ends

    def tallies(self) -> dict[str, Tally]:
        """What all who are running have seen."""
        found = {}
        for task in self.session.problem.tasks:
            end, first = self.seen[task.name], self.running[0].added[task.name]
            rows = [np.concatenate([each.added.numpy() for each in runner.added[task.name]])[:end] for runner in self.running]
            counts = np.concatenate([each.counts.numpy() for each in first])[:end]
            found[task.name] = Tally(np.stack(rows), counts, len(task.validation), first[0].exponential)
        return found

    def stop(self, places: Sequence[int]) -> list[Runner]:
        """Let some of those who are running go no further."""
        stopped = [self.running[place] for place in places]
        self.running = [runner for runner in self.running if runner not in stopped]
        self.session.watch.advance(len(stopped) * (self.examples - sum(self.seen.values())))
        return stopped

    def finished(self, runner: Runner) -> Evaluation:
        """The row of one who has seen everything, found or kept."""
        if runner.row is not None:
            return runner.row
        session, model, tasks = self.session, self.session.problem.model, self.session.problem.tasks
        begin, parts = time.perf_counter(), [part() for part in runner.parts]
        judged = {}
        if any(task.judged for task in tasks):
            with in_eval_mode(model), swapped(model, self._params(runner)), at_precision(self.session):
                judged = judge_model(model, tasks)
        results = {
            task.name: result_of(task, replace(self._whole(task, parts), judged=judged.get(task.judge, {})), task.metrics) for task in tasks
        }
        cost = runner.seconds + time.perf_counter() - begin
        row = made_row(session, results, runner.weights, Fidelity.PREVIEW, self.method, cost)
        return do_evaluation(session.study, runner.inputs, lambda: (row, per_example(results)), session.watch)

    def _whole(self, task: Task, parts: Sequence[Sight]) -> Predictions:
        """All that was seen of a task, in the order of its examples."""
        found = [part[task.name] for part in parts if task.name in part]
        back = torch.tensor(self.orders[task.name]).argsort()
        texts = [text for each in found for text in each.texts]
        columns = [(each.losses, each.predicted, each.labels, each.counted) for each in found]
        return join_batches(columns, task.loss.padding, back, tuple(texts[place] for place in back.tolist()) if texts else ())

    def _advance(self, runner: Runner, examples: int) -> None:
        self.evaluated += examples
        self.session.watch.advance(examples, str(runner.weights))

    def _params(self, runner: Runner) -> Params:
        if runner.params is not None:
            return runner.params
        params = with_statistics(self.session, self.merged.merge(runner.weights).params, runner.weights)
        held = [params, *(each.params for each in self.running if each.params is not None)]
        if sum(tensor.nbytes for each in held for tensor in each.values()) <= _HELD:
            runner.params = params
        return params

    def _together(self, some: Sequence[Runner], part: Mapping[str, tuple[int, int]]) -> None:
        """Several small ones at once; what they saw is held."""
        many = []
        for runner in some:
            begin = time.perf_counter()
            many.append(self._params(runner))
            runner.seconds += time.perf_counter() - begin
        begin = time.perf_counter()
        for runner, sight in zip(some, self._sights(many, part), strict=True):
            self._keep(runner, sight, partial(dict, sight))
        for runner in some:
            runner.seconds += (time.perf_counter() - begin) / len(some)

    def _alone(self, runner: Runner, part: Mapping[str, tuple[int, int]]) -> None:
        """A large one; what it saw is kept in the study, or found there."""
        study = self.session.study

        def make() -> tuple[Json, Params]:
            return {}, _tensors(self._sights([self._params(runner)], part)[0])

        inputs = {"of": runner.key, "seed": self.session.recipe.seed, "part": {task: list(ends) for task, ends in part.items()}}
        done = do(study, "slice", inputs, make, self.session.watch)
        runner.seconds += done.seconds
        again = partial(_sight, study, done.artefact, self.session.problem.tasks)
        self._keep(runner, again(), again)

    def _sights(self, many: Sequence[Params], part: Mapping[str, tuple[int, int]]) -> list[Sight]:
        session, model = self.session, self.session.problem.model
        on_batch = partial(stop_if_asked, session.watch)
        tasks = [task for task in session.problem.tasks if task.name in part]
        examples = {task.name: Some(task.validation, self.orders[task.name][slice(*part[task.name])]) for task in tasks}
        some = max((len(each) for each in examples.values()), default=1)  # of similar length are few of few
        size = min(session.recipe.preview.batch_size, max(_SMALLEST, -(-some // _BATCHES)))
        with in_eval_mode(model), self.memory.at_work(), at_precision(session):
            if len(many) == 1:
                with swapped(model, many[0]):
                    return [{task.name: predict_examples(model, task, examples[task.name], size) for task in tasks}]
            found = {task.name: predict_examples_of_each(model, many, task, examples[task.name], size, on_batch=on_batch) for task in tasks}
        return [{name: each[place] for name, each in found.items()} for place in range(len(many))]

    def _keep(self, runner: Runner, sight: Sight, again: Callable[[], Sight]) -> None:
        runner.parts.append(again)
        for name, each in self._added(sight):
            runner.added.setdefault(name, []).append(each)

    def _added(self, sight: Sight) -> Iterator[tuple[str, Adds]]:
        for task in self.session.problem.tasks:
            found = adds(task.metrics[0], sight[task.name]) if task.name in sight else None
            if found is not None:
                yield task.name, found

    def _known(self, done: Done) -> dict[str, Adds]:
        """The same of a row in the study, from the results per example beside it, in the race's order."""
        kept, sight = self.session.study.tensors(done.artefact), {}
        for task in self.session.problem.tasks:
            labels = _labels(task, self.session.recipe.preview.batch_size)
            counted, predicted = task.loss.counts({"labels": labels}), torch.zeros_like(labels)
            predicted[counted] = kept[f"{task.name}/predicted"].to(labels.dtype)
            losses = kept[f"{task.name}/losses"].double().unsqueeze(1) * counted
            order = torch.tensor(self.orders[task.name])
            sight[task.name] = Predictions(losses[order], predicted[order], labels[order], counted[order])
        return dict(self._added(sight))


def _labels(task: Task, batch_size: int) -> Tensor:
    """`[N, S]`, of all validation examples."""
    order, parts = [], []
    for indices, found in batches(task.validation, batch_size):
        order += indices
        parts.append(task.collate(found)["labels"].reshape(len(indices), -1))
    return padded(parts, task.loss.padding)[torch.tensor(order).argsort()]


def _tensors(sight: Sight) -> dict[str, Tensor]:
    """To keep; texts as the bytes of a JSON list."""
    found: dict[str, Tensor] = {}
    for task, seen in sight.items():
        found |= {f"{task}/losses": seen.losses, f"{task}/predicted": seen.predicted, f"{task}/labels": seen.labels}
        if seen.texts:
            found[f"{task}/texts"] = torch.tensor(list(json.dumps(seen.texts).encode()), dtype=torch.uint8)
    return found


def _sight(study: Study, artefact: str | None, tasks: Sequence[Task]) -> Sight:
    """What `_tensors` was given."""
    kept, found = study.tensors(artefact), dict[str, Predictions]()
    losses = {task.name: task.loss for task in tasks}
    for task in dict.fromkeys(name.partition("/")[0] for name in kept):
        texts = json.loads(bytes(kept[f"{task}/texts"].tolist())) if f"{task}/texts" in kept else []
        pairs = tuple((written, wanted) for written, wanted in texts)
        labels = kept[f"{task}/labels"]
        counted = losses[task].counts({"labels": labels})
        found[task] = Predictions(kept[f"{task}/losses"], kept[f"{task}/predicted"], labels, counted, pairs)
    return found
