"""A piece of work as a value: plain data that can be listed, counted, ordered, sent as JSON and done anywhere.

The key of a piece is the hash of everything it depends on. The study is asked for the key first. What it lacks is done
once, by the process that claims the piece first, and stored before the next piece begins.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Generic, TypeVar

from foretaste.errors import Diverged, StudyError
from foretaste.params import Params
from foretaste.store.study import Done, Json, key_of
from foretaste.train.run import Snapshot, Trained
from foretaste.train.training import Training
from foretaste.weights import TaskWeights
from foretaste.work.context import Context
from foretaste.work.observer import Observer
from foretaste.work.tracking import logged_run

__all__ = ["Computation", "Piece", "TrainingPiece", "Work", "from_json", "revisions", "to_json"]

Result = TypeVar("Result")

_CLASSES: dict[str, type["Work[Any]"]] = {}


class Work(ABC, Generic[Result]):
    """Something that can be done for a study.

    Subclasses are frozen dataclasses of plain data: names, numbers, weights and other work.

    Attributes:
        stage: Shown while work of this class is under way.
        kind: The study's name for such work.
        revision: Raised by hand when the same inputs give other numbers than before.
    """

    stage: ClassVar[str]
    kind: ClassVar[str]
    revision: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _CLASSES[cls.__name__] = cls

    def needs(self, context: Context) -> tuple["Work[Any]", ...]:
        """List the work that must be finished before this; it depends on no result."""
        return ()

    def includes(self, context: Context) -> tuple["Work[Any]", ...]:
        """List the work that this does itself if the study lacks it, and that nobody else should be doing meanwhile."""
        return ()

    @abstractmethod
    def size(self, context: Context) -> int:
        """Count the units of progress."""

    @abstractmethod
    def is_finished(self, context: Context) -> bool:
        """Tell whether the study has the result; asked only when everything in `needs` is finished."""

    @abstractmethod
    def stored_result(self, context: Context) -> Result:
        """Read the result of finished work from the study.

        Raises:
            StudyError: The work is not finished.
        """

    @abstractmethod
    def finish(self, context: Context, observer: Observer) -> Result:
        """Read the result from the study, or do the work and store it.

        Raises:
            Stopped: The user asked to stop.
        """


class Piece(Work[Result]):
    """Work whose result the study keeps under one key."""

    @abstractmethod
    def inputs(self, context: Context) -> dict[str, object]:
        """Describe everything that the result depends on, as JSON."""

    @abstractmethod
    def read(self, context: Context, done: Done) -> Result:
        """Build the result from what the study keeps."""

    def named_inputs(self, context: Context) -> dict[str, object]:
        """Return the inputs with the revision, which the key is the hash of."""
        return {**self.inputs(context), "revision": self.revision}

    def key(self, context: Context) -> str:
        """Return the piece's key in the study."""
        return key_of(self.kind, self.named_inputs(context))

    def is_finished(self, context: Context) -> bool:
        return context.study.find(self.key(context)) is not None

    def done(self, context: Context) -> Done:
        """Return what the study keeps of the finished piece.

        Raises:
            StudyError: The piece is not finished.
        """
        done = context.study.find(self.key(context))
        if done is None:
            raise StudyError(f"{self} is not in the study {context.study.path} yet")
        return done

    def stored_result(self, context: Context) -> Result:
        return self.read(context, self.done(context))

    def finish(self, context: Context, observer: Observer) -> Result:
        study, inputs = context.study, self.named_inputs(context)
        key = key_of(self.kind, inputs)
        done = study.find(key)
        if done is None:
            observer.stop_if_asked()
            with study.claim(key, observer.stop_if_asked):
                done = study.find(key) or self._make_and_keep(context, observer, key, inputs)
        else:
            self._on_finished(context, key)
        observer.complete()
        return self.read(context, done)

    def _on_finished(self, context: Context, key: str) -> None:
        """Tidy up after a piece that was finished before."""

    @abstractmethod
    def _make_and_keep(self, context: Context, observer: Observer, key: str, inputs: Json) -> Done:
        """Do what the study lacks, and store it."""


class Computation(Piece[Result]):
    """A piece that is done in one go."""

    @abstractmethod
    def make(self, context: Context, observer: Observer) -> tuple[Json, Params | None]:
        """Do the work: return small facts, and tensors if there are any."""

    def _make_and_keep(self, context: Context, observer: Observer, key: str, inputs: Json) -> Done:
        start = time.perf_counter()
        facts, params = self.make(context, observer)
        return context.study.add(self.kind, key, inputs, facts, params, time.perf_counter() - start)


class TrainingPiece(Piece[Result]):
    """Training, which goes on from its last snapshot after an interruption."""

    @property
    @abstractmethod
    def run_name(self) -> str:
        """Return the name of the run in a tracker, after the study's."""

    @abstractmethod
    def training(self, context: Context) -> Training:
        """Return the settings of the training."""

    @abstractmethod
    def train(self, context: Context, start: Snapshot | None, observer: Observer) -> Trained:
        """Train, from a snapshot if there is one.

        The study keeps the estimates of a `Sampling` optimizer with the params, under names that begin with the kind
        of estimate (``hessian/``).
        """

    def size(self, context: Context) -> int:
        return self.training(context).steps

    def _on_finished(self, context: Context, key: str) -> None:
        context.study.drop_snapshot(key)  # left by a process that was killed just after it had finished

    def _make_and_keep(self, context: Context, observer: Observer, key: str, inputs: Json) -> Done:
        study = context.study
        start, seconds = study.load_snapshot(key)
        first = start.step if start else 0
        observer.advance(first)
        try:
            with logged_run(context, self.run_name, key, self.training(context), observer, first) as log:
                observer.keep_snapshots(study, key, seconds, context.recipe.snapshot_seconds)
                observer.pass_steps_to(log)
                trained = self.train(context, start, observer)
        except Diverged as error:
            is_kept = study.load_snapshot(key)[0] is not None
            state = f"the last good state is kept in {study.snapshots_at}" if is_kept else "no good state was reached"
            raise Diverged(f"{error}; {state}; change the recipe and name another folder with --study") from error
        data_counts = {task: dict(counts) for task, counts in trained.data_counts.items()}
        facts = {"history": list(trained.history), "seen": data_counts}
        estimates = {
            f"{kind}/{name}": tensor for kind, tensors in trained.state.items() for name, tensor in tensors.items()
        }
        return study.add(self.kind, key, inputs, facts, {**trained.params, **estimates}, observer.seconds())


def revisions() -> dict[str, int]:
    """Return the revision of every kind of work, by kind; a study of another revision is refused."""
    return {cls.kind: cls.revision for cls in _CLASSES.values() if hasattr(cls, "kind")}


def to_json(work: Work[Any]) -> dict[str, object]:
    """Write a piece of work as JSON, which `from_json` reads.

    Weights are written as their exact shares, so that the reader computes the same key.
    """
    assert is_dataclass(work)
    return {"work": type(work).__name__, **{field.name: _encode(getattr(work, field.name)) for field in fields(work)}}


def from_json(data: Mapping[str, Any]) -> Work[Any]:
    """Read a piece of work that `to_json` wrote; the module of its class must have been imported.

    Raises:
        StudyError: This version has no such work.
    """
    values = dict(data)
    name = str(values.pop("work", ""))
    if name not in _CLASSES:
        raise StudyError(f"there is no work called {name!r} in this version of foretaste")
    return _CLASSES[name](**{field: _decode(value) for field, value in values.items()})


def _encode(value: object) -> object:
    match value:
        case TaskWeights():
            return {"weights": dict(value.items())}
        case Work():
            return to_json(value)
        case tuple():
            return [_encode(part) for part in value]
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"work holds plain data only, not {type(value).__name__}")


def _decode(value: "Json | list[Any] | str | float | None") -> object:
    if isinstance(value, Mapping):
        return (
            from_json(value)
            if "work" in value
            else TaskWeights(list(value["weights"]), list(value["weights"].values()))
        )
    return tuple(_decode(part) for part in value) if isinstance(value, list) else value
