"""A piece of work as a value: plain data that can be listed, counted, ordered, sent as JSON and done anywhere.

Each piece is named by the hash of everything it depends on. A piece that the study has already is found; any other is
made once, by whichever process claims it first, and kept before the next one begins.
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
from foretaste.weights import TaskWeights
from foretaste.work.context import Context
from foretaste.work.observer import Observer

__all__ = ["Computation", "Piece", "TrainingPiece", "Work", "from_json", "revisions", "to_json"]

Result = TypeVar("Result")

_CLASSES: dict[str, type["Work[Any]"]] = {}


class Work(ABC, Generic[Result]):
    """What can be done for a study.

    Subclasses are frozen dataclasses of plain data: names, numbers, weights and other work.

    Attributes:
        stage: What is shown while work of this class is being done.
        kind: What the study calls it.
        revision: Raised by hand when the same inputs would give other numbers than before.
    """

    stage: ClassVar[str]
    kind: ClassVar[str]
    revision: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _CLASSES[cls.__name__] = cls

    def needs(self, context: Context) -> tuple["Work[Any]", ...]:
        """The work that must be finished before this; known before any work is done."""
        return ()

    @abstractmethod
    def size(self, context: Context) -> int:
        """Units of progress."""

    @abstractmethod
    def is_finished(self, context: Context) -> bool:
        """Whether the study has it; asked only when all that it needs is finished."""

    @abstractmethod
    def stored_result(self, context: Context) -> Result:
        """The result of finished work, from the study.

        Raises:
            StudyError: It is not finished.
        """

    @abstractmethod
    def finish(self, context: Context, observer: Observer) -> Result:
        """Find it in the study, or make and keep it.

        Raises:
            Stopped: The user asked to.
        """


class Piece(Work[Result]):
    """Work that the study keeps under one key."""

    @abstractmethod
    def inputs(self, context: Context) -> dict[str, object]:
        """Everything that the result depends on, as JSON."""

    @abstractmethod
    def read(self, context: Context, done: Done) -> Result:
        """The result, from what the study keeps."""

    def named_inputs(self, context: Context) -> dict[str, object]:
        """The inputs with the revision: what the key is made of."""
        return {**self.inputs(context), "revision": self.revision}

    def key(self, context: Context) -> str:
        """The piece's name in the study."""
        return key_of(self.kind, self.named_inputs(context))

    def is_finished(self, context: Context) -> bool:
        return context.study.find(self.key(context)) is not None

    def done(self, context: Context) -> Done:
        """The finished piece.

        Raises:
            StudyError: It is not finished.
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
            self._on_found(context, key)
        observer.complete()
        return self.read(context, done)

    def _on_found(self, context: Context, key: str) -> None:
        """What is left to do where the piece was finished before."""

    @abstractmethod
    def _make_and_keep(self, context: Context, observer: Observer, key: str, inputs: Json) -> Done:
        """Make what the study lacks."""


class Computation(Piece[Result]):
    """A piece that is made in one go."""

    @abstractmethod
    def make(self, context: Context, observer: Observer) -> tuple[Json, Params | None]:
        """Small facts, and tensors if there are any."""

    def _make_and_keep(self, context: Context, observer: Observer, key: str, inputs: Json) -> Done:
        start = time.perf_counter()
        facts, params = self.make(context, observer)
        return context.study.add(self.kind, key, inputs, facts, params, time.perf_counter() - start)


class TrainingPiece(Piece[Result]):
    """Training, which goes on from its last kept state."""

    @abstractmethod
    def steps(self, context: Context) -> int:
        """How many steps there are."""

    @abstractmethod
    def train(self, context: Context, start: Snapshot | None, observer: Observer) -> Trained:
        """Train, from a state if there is one.

        What a `Sampling` optimizer learned is kept beside the params, under names that begin with its kind
        (``hessian/``).
        """

    def size(self, context: Context) -> int:
        return self.steps(context)

    def _on_found(self, context: Context, key: str) -> None:
        context.study.drop_snapshot(key)  # of a process that was killed just after it had finished

    def _make_and_keep(self, context: Context, observer: Observer, key: str, inputs: Json) -> Done:
        study = context.study
        start, seconds = study.load_snapshot(key)
        observer.keep_snapshots(study, key, seconds, context.recipe.snapshot_seconds)
        observer.advance(start.step if start else 0)
        try:
            trained = self.train(context, start, observer)
        except Diverged as error:
            is_kept = study.load_snapshot(key)[0] is not None
            state = f"the last good state is kept in {study.snapshots_at}" if is_kept else "no good state was reached"
            raise Diverged(f"{error}; {state}; change the recipe and name another folder with --study") from error
        facts = {"history": list(trained.history), "seen": {task: dict(seen) for task, seen in trained.seen.items()}}
        learned = {
            f"{kind}/{name}": tensor for kind, tensors in trained.state.items() for name, tensor in tensors.items()
        }
        return study.add(self.kind, key, inputs, facts, {**trained.params, **learned}, observer.seconds())


def revisions() -> dict[str, int]:
    """The revision of every kind of work, by kind; a study of another revision is refused."""
    return {cls.kind: cls.revision for cls in _CLASSES.values() if hasattr(cls, "kind")}


def to_json(work: Work[Any]) -> dict[str, object]:
    """A piece of work as JSON; see `from_json`.

    Weights travel as their exact shares, so that the key is the same at the other end.
    """
    assert is_dataclass(work)
    return {"work": type(work).__name__, **{field.name: _encode(getattr(work, field.name)) for field in fields(work)}}


def from_json(data: Mapping[str, Any]) -> Work[Any]:
    """The work that `to_json` wrote; its class must have been imported.

    Raises:
        StudyError: No such work is known here.
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
            return [_encode(each) for each in value]
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
    return tuple(_decode(each) for each in value) if isinstance(value, list) else value
