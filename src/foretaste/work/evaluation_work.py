"""Evaluations as work: each weighting is a row of the study under a key of its own."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation
from foretaste.params import Params
from foretaste.store.study import key_of
from foretaste.weights import TaskWeights
from foretaste.work.context import Context
from foretaste.work.observer import Observer
from foretaste.work.work import Work

__all__ = ["EvaluationWork"]


class EvaluationWork(Work[tuple[Evaluation, ...]]):
    """Evaluations at one or several weightings, each a row of the study under a key of its own."""

    kind = "evaluation"
    points: tuple[TaskWeights, ...]

    @abstractmethod
    def inputs_at(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        """Everything that the row at these weights depends on, as JSON."""

    @abstractmethod
    def evaluate(self, context: Context, points: Sequence[TaskWeights], observer: Observer) -> Sequence[tuple[Evaluation, Params]]:
        """Rows at some of the points, with the results per example."""

    def at_once(self, context: Context) -> int:
        """At most so many are evaluated together."""
        return 1

    def begin(self, context: Context, observer: Observer) -> None:
        """Prepare what all points share, and tell the observer what is worth knowing."""

    def size(self, context: Context) -> int:
        return len(self.points)

    def keys(self, context: Context) -> list[str]:
        """The rows' names in the study, in the order of the points."""
        return [key_of(self.kind, self._named(context, weights)) for weights in self.points]

    def is_finished(self, context: Context) -> bool:
        keys = self.keys(context)
        return set(keys) <= set(context.study.evaluations(keys))

    def found(self, context: Context) -> tuple[Evaluation, ...]:
        keys = self.keys(context)
        rows = context.study.evaluations(keys)
        if not set(keys) <= set(rows):
            raise StudyError(f"{self} is not in the study {context.study.path} yet")
        return tuple(rows[key] for key in keys)

    def finish(self, context: Context, observer: Observer) -> tuple[Evaluation, ...]:
        self.begin(context, observer)
        study, points = context.study, dict[str, TaskWeights]()
        inputs = {}
        for weights in self.points:
            named = self._named(context, weights)
            key = key_of(self.kind, named)
            points[key], inputs[key] = weights, named
        order = self.keys(context) if len(points) < len(self.points) else list(points)
        rows = study.evaluations(points)
        for key in order:
            if key in rows:
                observer.advance(1, str(points[key]))
        lacking = [key for key in points if key not in rows]
        size = self.at_once(context)
        for start in range(0, len(lacking), size):
            group = lacking[start : start + size]
            observer.stop_if_asked()
            with _claimed(context, group, observer):
                rows |= study.evaluations(group)
                fresh = [key for key in group if key not in rows]
                made = dict(zip(fresh, self.evaluate(context, [points[key] for key in fresh], observer) if fresh else (), strict=True))
                study.add_evaluations([(key, inputs[key], *row) for key, row in made.items()])
                rows |= {key: row for key, (row, _) in made.items()}
            for key in group:
                observer.advance(order.count(key), str(points[key]))
        return tuple(rows[key] for key in order)

    def keep(self, context: Context, row: Evaluation, results: Params) -> Evaluation:
        """Keep a row that was made elsewhere, unless the study has one by now; the one that it has.

        Args:
            context: Has the study.
            row: At one of the points.
            results: Per example.
        """
        inputs = self._named(context, row.weights)
        key = key_of(self.kind, inputs)
        context.study.add_evaluations([(key, inputs, row, results)])
        kept = context.study.evaluation(key)
        assert kept is not None
        return kept

    def _named(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        return {**self.inputs_at(context, weights), "revision": self.revision}


@contextmanager
def _claimed(context: Context, keys: Sequence[str], observer: Observer) -> Iterator[None]:
    """Claim all of them, in the same order whoever asks: so no two processes wait for each other."""
    with ExitStack() as claims:
        for key in sorted(keys):
            claims.enter_context(context.study.claim(key, observer.stop_if_asked))
        yield
