"""Evaluations as work: the study keeps each weighting as a row with its own key."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """Evaluations at one or several weightings; the study keeps each as a row with its own key."""

    kind = "evaluation"
    points: tuple[TaskWeights, ...]

    @abstractmethod
    def inputs_at(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        """Describe everything that the row at these weights depends on, as JSON."""

    @abstractmethod
    def evaluate(
        self, context: Context, points: Sequence[TaskWeights], observer: Observer
    ) -> Sequence[tuple[Evaluation, Params]]:
        """Evaluate some of the points, and return each row with the results of every example."""

    def at_once(self, context: Context) -> int:
        """Return how many points may be evaluated together."""
        return 1

    def begin(self, context: Context, observer: Observer) -> None:
        """Prepare what all points share; called only if some rows are lacking."""

    def size(self, context: Context) -> int:
        return len(self.points)

    def keys(self, context: Context) -> list[str]:
        """Return the rows' keys in the study, in the order of the points."""
        return [key_of(self.kind, self._inputs_with_revision(context, weights)) for weights in self.points]

    def is_finished(self, context: Context) -> bool:
        keys = self.keys(context)
        return set(keys) <= set(context.study.evaluations(keys))

    def stored_result(self, context: Context) -> tuple[Evaluation, ...]:
        keys = self.keys(context)
        rows = context.study.evaluations(keys)
        if not set(keys) <= set(rows):
            raise StudyError(f"{self} is not in the study {context.study.path} yet")
        return tuple(rows[key] for key in keys)

    def finish(self, context: Context, observer: Observer) -> tuple[Evaluation, ...]:
        inputs = [self._inputs_with_revision(context, weights) for weights in self.points]
        keys = [key_of(self.kind, row_inputs) for row_inputs in inputs]
        pieces = dict(zip(keys, zip(self.points, inputs, strict=True), strict=True))
        rows = context.study.evaluations(pieces)
        self._count(rows, keys, pieces, observer)
        lacking = [key for key in pieces if key not in rows]
        if lacking:
            self.begin(context, observer)
        size = self.at_once(context)
        for start in range(0, len(lacking), size):
            group = lacking[start : start + size]
            observer.stop_if_asked()
            with _claim_all(context, group, observer):
                rows |= context.study.evaluations(group)
                fresh = [key for key in group if key not in rows]
                results = self.evaluate(context, [pieces[key][0] for key in fresh], observer) if fresh else ()
                context.study.add_evaluations(
                    [(key, pieces[key][1], *result) for key, result in zip(fresh, results, strict=True)]
                )
                rows |= {key: row for key, (row, _) in zip(fresh, results, strict=True)}
            self._count(group, keys, pieces, observer)
        return tuple(rows[key] for key in keys)

    def _count(
        self,
        finished: Iterable[str],
        keys: Sequence[str],
        pieces: Mapping[str, tuple[TaskWeights, object]],
        observer: Observer,
    ) -> None:
        """Count finished rows as progress, each as often as it stands among the points."""
        for key in finished:
            observer.advance(keys.count(key), str(pieces[key][0]))

    def keep(self, context: Context, row: Evaluation, results: Params) -> Evaluation:
        """Store a row that was made elsewhere, unless the study has one by now, and return the row that it has.

        Args:
            context: The context, which has the study.
            row: A row at one of the points.
            results: The results of every example.
        """
        inputs = self._inputs_with_revision(context, row.weights)
        key = key_of(self.kind, inputs)
        context.study.add_evaluations([(key, inputs, row, results)])
        stored = context.study.evaluation(key)
        assert stored is not None
        return stored

    def _inputs_with_revision(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        return {**self.inputs_at(context, weights), "revision": self.revision}


@contextmanager
def _claim_all(context: Context, keys: Sequence[str], observer: Observer) -> Iterator[None]:
    """Claim all keys, in an order that every process follows, so that no two processes wait for each other."""
    with ExitStack() as claims:
        for key in sorted(keys):
            claims.enter_context(context.study.claim(key, observer.stop_if_asked))
        yield
