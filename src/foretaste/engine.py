"""Where independent work runs: here, in this process, one piece after the other.

Each piece is named by the hash of all it depends on. What is done is found in the study; what
is not is done once, by whichever process claims it first, and kept before the next begins.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

from foretaste.errors import Diverged, Stopped
from foretaste.evaluation import Evaluation
from foretaste.params import Params
from foretaste.store.study import Done, Json, Study, key_of
from foretaste.train.run import Observer, Snapshot, Trained

__all__ = ["REVISION", "Unwatched", "Watch", "do", "do_evaluation", "do_evaluations", "do_training", "stop_if_asked"]

# Raised by hand when the same inputs would give other numbers than before.
REVISION = {"finetune": 1, "joint": 1, "factors": 2, "site": 2, "choice": 1, "evaluation": 1, "outputs": 1, "alone": 1, "slice": 1}


class Watch(Protocol):
    """Whoever looks on: shows progress, and may ask to stop."""

    def begin(self, label: str, total: int) -> None:
        """A stage of so many units begins."""

    def advance(self, amount: int, note: str = "") -> None:
        """So many more units are done."""

    def say(self, text: str) -> None:
        """Where things stand, as a line."""

    def stopping(self) -> bool:
        """Whether the user asked to stop."""


class Unwatched:
    """Nobody looks on."""

    def begin(self, label: str, total: int) -> None:
        pass

    def advance(self, amount: int, note: str = "") -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def stopping(self) -> bool:
        return False


def do(study: Study, kind: str, inputs: Json, make: Callable[[], tuple[Json, Params | None]], watch: Watch) -> Done:
    """Find finished work, or make and keep it.

    Args:
        study: Keeps it.
        kind: What it is.
        inputs: All that it depends on.
        make: Gives small facts and tensors.
        watch: Asked whether to stop first.

    Raises:
        Stopped: The user asked to.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(pathlib.Path(folder)) as study:
    ...     first = do(study, "site", {"task": "a"}, lambda: ({"examples": 20}, None), Unwatched())
    ...     do(study, "site", {"task": "a"}, lambda: ({"never": "made"}, None), Unwatched()).result
    {'examples': 20}
    """
    inputs = {**inputs, "revision": REVISION[kind]}
    key = key_of(kind, inputs)
    found = study.find(key)
    if found is not None:
        return found
    stop_if_asked(watch)
    with study.claim(key, lambda: stop_if_asked(watch)):
        found = study.find(key)
        if found is not None:
            return found
        start = time.perf_counter()
        result, params = make()
        return study.add(kind, key, inputs, result, params, time.perf_counter() - start)


def do_training(
    study: Study,
    kind: str,
    inputs: Json,
    run: Callable[[Snapshot | None, Observer], Trained],
    watch: Watch,
    steps: int,
    every: float,
) -> Done:
    """Find a finished run, or go on with it from its last kept state.

    Args:
        study: Keeps it.
        kind: ``finetune`` or ``joint``.
        inputs: All that it depends on.
        run: Trains from a state, telling an observer; what a `Sampling` optimizer learned is kept beside
            the params, its names prefixed by its kind (``hessian/``).
        watch: Told of every step.
        steps: How many there are.
        every: Seconds between kept states.

    >>> import pathlib, tempfile
    >>> done = Trained({}, (0.5, 0.4), {"a": {"examples": 8}})
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(pathlib.Path(folder)) as study:
    ...     do_training(study, "finetune", {"task": "a"}, lambda start, observer: done, Unwatched(), 2, 60.0).result["history"]
    [0.5, 0.4]
    """
    inputs = {**inputs, "revision": REVISION[kind]}
    key = key_of(kind, inputs)
    found = study.find(key)
    if found is None:
        stop_if_asked(watch)
        with study.claim(key, lambda: stop_if_asked(watch)):
            return study.find(key) or _train(study, kind, key, inputs, run, watch, every)
    study.drop_snapshot(key)  # of a process that was killed just after it had finished
    watch.advance(steps)
    return found


def _train(
    study: Study, kind: str, key: str, inputs: Json, run: Callable[[Snapshot | None, Observer], Trained], watch: Watch, every: float
) -> Done:
    start, seconds = study.load_snapshot(key)
    watch.advance(start.step if start else 0)
    keeper = _Keeper(study, key, watch, seconds, every)
    try:
        trained = run(start, keeper)
    except Diverged as error:
        kept = f"the last good state is kept in {study.snapshots_at}" if study.load_snapshot(key)[0] else "no good state was reached"
        raise Diverged(f"{error}; {kept}; change the recipe and name another folder with --study") from error
    result = {"history": list(trained.history), "seen": {task: dict(seen) for task, seen in trained.seen.items()}}
    learned = {f"{name}/{each}": tensor for name, found in trained.state.items() for each, tensor in found.items()}
    return study.add(kind, key, inputs, result, {**trained.params, **learned}, keeper.seconds())


class _Keeper:
    """Keeps a run's state every so often, and when the user asks to stop."""

    def __init__(self, study: Study, key: str, watch: Watch, seconds: float, every: float) -> None:
        self._study, self._key, self._watch, self._before, self._every = study, key, watch, seconds, every
        self._start = self._kept = time.perf_counter()

    def seconds(self) -> float:
        """Time spent on this run, before and after interruptions."""
        return self._before + time.perf_counter() - self._start

    def on_step(self, done: int, loss: float) -> None:
        self._watch.advance(1, f"loss {loss:.3f}")

    def wants_snapshot(self, done: int) -> bool:
        return self._watch.stopping() or time.perf_counter() - self._kept >= self._every

    def keep(self, state: Snapshot) -> None:
        self._study.save_snapshot(self._key, state, self.seconds())
        self._kept = time.perf_counter()
        stop_if_asked(self._watch)


def do_evaluation(study: Study, inputs: Json, make: Callable[[], tuple[Evaluation, Params]], watch: Watch) -> Evaluation:
    """Find an evaluation, or make and keep it with its per-example results.

    Args:
        study: Keeps it.
        inputs: All that it depends on.
        make: Gives the row and the results per example.
        watch: Asked whether to stop first.

    >>> import pathlib, tempfile
    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {}, Fidelity.JOINT, "joint")
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(pathlib.Path(folder)) as study:
    ...     do_evaluation(study, {"params": "p"}, lambda: (row, {}), Unwatched()) == row
    True
    """
    return do_evaluations(study, [inputs], lambda places: [make()], watch)[0]


def do_evaluations(
    study: Study,
    inputs: Sequence[Json],
    make: Callable[[Sequence[int]], Sequence[tuple[Evaluation, Params]]],
    watch: Watch,
    *,
    at_once: int = 1,
    on_row: Callable[[int], None] = lambda place: None,
) -> list[Evaluation]:
    """Find evaluations, or make and keep those that are lacking, some at once.

    Args:
        study: Keeps them.
        inputs: For each, all that it depends on.
        make: From the places of some to their rows and results per example.
        watch: Asked whether to stop, between.
        at_once: At most so many are made together.
        on_row: Told the place of each that is there.

    >>> import pathlib, tempfile
    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(weights, {}, Fidelity.PREVIEW, "simple") for weights in lattice("ab", 4)]
    >>> named, asked = [{"weights": row.weights.key} for row in rows], []
    >>> def make(places):
    ...     asked.append(list(places))
    ...     return [(rows[place], {}) for place in places]
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(pathlib.Path(folder)) as study:
    ...     _ = do_evaluation(study, named[1], lambda: (rows[1], {}), Unwatched())
    ...     do_evaluations(study, named, make, Unwatched(), at_once=3) == rows, asked
    (True, [[0, 2, 3], [4]])
    """
    named = [{**each, "revision": REVISION["evaluation"]} for each in inputs]
    keys = [key_of("evaluation", each) for each in named]
    places: dict[str, list[int]] = {key: [] for key in keys}
    for place, key in enumerate(keys):
        places[key].append(place)
    found = study.evaluations(places)
    _tell(places, found, on_row)
    lacking = [key for key in places if key not in found]
    for start in range(0, len(lacking), at_once):
        stop_if_asked(watch)
        some = lacking[start : start + at_once]
        with _claimed(study, some, watch):
            found |= study.evaluations(some)
            fresh = [key for key in some if key not in found]
            made = dict(zip(fresh, make([places[key][0] for key in fresh]) if fresh else (), strict=True))
            study.add_evaluations([(key, named[places[key][0]], *each) for key, each in made.items()])
            found |= {key: row for key, (row, _) in made.items()}
        _tell(places, some, on_row)
    return [found[key] for key in keys]


def _tell(places: Mapping[str, Sequence[int]], keys: Iterable[str], on_row: Callable[[int], None]) -> None:
    for place in (place for key in keys for place in places[key]):
        on_row(place)


@contextmanager
def _claimed(study: Study, keys: Sequence[str], watch: Watch) -> Iterator[None]:
    """All of them, in one order whoever asks: so no two processes wait for each other."""
    with ExitStack() as claimed:
        for key in sorted(keys):
            claimed.enter_context(study.claim(key, lambda: stop_if_asked(watch)))
        yield


def stop_if_asked(watch: Watch) -> None:
    """Stop between two pieces of work.

    Raises:
        Stopped: The user asked to.

    >>> stop_if_asked(Unwatched())
    """
    if watch.stopping():
        raise Stopped("stopped as asked; everything finished so far is kept")
