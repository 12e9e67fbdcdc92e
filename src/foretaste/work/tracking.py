"""Trackers: every training run is logged to TensorBoard, Weights & Biases or MLflow, through Accelerate's trackers.

Tracking changes no result and is part of no key. A tracker that fails is left with a warning, and training goes on.
Files are written to the study's folder for trackers, unless the variables of the tracker name another place
(``WANDB_DIR``, ``MLFLOW_TRACKING_URI``)::

    STUDY/tracking/NAME/RUN/...          TensorBoard's files of one run
    STUDY/tracking/wandb, mlflow.db      the files of the others
    STUDY/tracking/runs/KEY.TRACKER      the tracker's id of a run, by which a run that was stopped goes on
"""

import importlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker
from filelock import FileLock

from foretaste.errors import MissingExtra, RecipeError
from foretaste.one_line import one_line
from foretaste.train.run import Silent
from foretaste.train.training import Training, learning_rate, settings_of
from foretaste.whole import write_whole
from foretaste.work.context import Context
from foretaste.work.observer import Observer

__all__ = ["RunLog", "check_tracker", "logged_run"]

_LONGEST = 100  # characters of a name: file systems and trackers have bounds
_OFFLINE = ("offline", "disabled", "dryrun")  # values of WANDB_MODE that need no account


def check_tracker(name: str) -> None:
    """Check that a tracker is installed, and that there is an account for it if it needs one.

    Args:
        name: The tracker, as a recipe names it.

    Raises:
        MissingExtra: The tracker is not installed.
        RecipeError: Weights & Biases has no API key.

    >>> check_tracker("tensorboard")
    """
    try:
        importlib.import_module(name)
    except ImportError as error:
        message = f"{name} is not installed; install it with: pip install 'foretaste[{name}]'"
        raise MissingExtra(message).at("finetune", "track") from error
    if name == "wandb" and os.environ.get("WANDB_MODE") not in _OFFLINE:
        _log_in()


def _log_in() -> None:
    """Ask for the API key of Weights & Biases now, if there is none, and not amid the progress of training."""
    import wandb

    try:
        wandb.login(verify=False)
    except wandb.Error as error:
        message = "Weights & Biases has no API key; run `wandb login`, or set WANDB_MODE=offline to log to files"
        raise RecipeError(message).at("finetune", "track") from error


class RunLog(Silent):
    """Logs the steps of one training run; without a tracker it does nothing.

    Args:
        training: How the run trains, which gives the learning rate of a step.
        warn: Prints a warning.
    """

    def __init__(self, training: Training, warn: Callable[[str], None]) -> None:
        self._training, self._warn = training, warn
        self._tracker: GeneralTracker | None = None

    def on_step(self, done: int, loss: float) -> None:
        values = {"loss": loss, "learning_rate": learning_rate(self._training, done - 1)}
        self.attempt(lambda: None if self._tracker is None else self._tracker.log(values, step=done))

    def begin(self, start: Callable[[], GeneralTracker]) -> None:
        """Start a tracker, which logs from now on."""

        def begin() -> None:
            self._tracker = start()

        self.attempt(begin)

    def end(self) -> None:
        """End the tracker's run."""
        self.attempt(lambda: None if self._tracker is None else self._tracker.finish())
        self._tracker = None

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something with the tracker; if it fails, warn and leave the tracker."""
        try:
            action()
        except Exception as error:
            self._tracker = None
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._warn(f"warning: this run is no longer tracked, and training goes on ({reason})")


@contextmanager
def logged_run(
    context: Context, run: str, key: str, training: Training, observer: Observer, first: int = 0
) -> Iterator[RunLog]:
    """Log a training run to the recipe's tracker, if it has one, while the context is open.

    Args:
        context: The context, whose recipe names the tracker.
        run: The run's name in the tracker, after the study's.
        key: The key of the work, by which an interrupted run is found again.
        training: How the run trains.
        observer: Prints warnings.
        first: The steps that were done before an interruption.

    >>> from foretaste.work.context import Unwatched
    >>> from foretaste.workflow.example import small_study
    >>> with small_study("finetune: {track: tensorboard}") as session:
    ...     with logged_run(session, "a run", "key", session.training_of("low"), Observer(Unwatched(), 1)) as log:
    ...         log.on_step(1, 0.5)
    ...     [path.name for path in (session.study.tracking / "a").iterdir()]
    ['a run']
    """
    log = RunLog(training, observer.say)
    tracker = context.recipe.finetune.track
    if tracker is None:
        yield log
        return
    folder, study = context.study.tracking, context.recipe.name
    settings = {"study": study, "run": run, **settings_of(training)}
    id_file = folder / "runs" / f"{key}.{tracker}"
    tracked = _TrackedRun(folder, id_file, _short(study, key), _short(run, key), first, settings)
    with ExitStack() as stack:
        log.begin(lambda: _START[tracker](tracked, stack))
        try:
            yield log
        finally:
            log.end()


@dataclass(frozen=True)
class _TrackedRun:
    """A run as a tracker is told of it.

    Args:
        folder: The study's folder for trackers.
        id_file: The file of the tracker's id of the run.
        study: The study's name, safe as part of a path.
        name: The run's name, safe as part of a path.
        first: The steps that were done before.
        settings: How the run trains.
    """

    folder: Path
    id_file: Path
    study: str
    name: str
    first: int
    settings: Mapping[str, object]

    __repr__ = one_line

    @property
    def former_id(self) -> str | None:
        """Return the tracker's id of this run, if the run was interrupted."""
        return self.id_file.read_text() if self.id_file.exists() else None

    def start(self, tracker: GeneralTracker, id_of: Callable[[], str], *, with_settings: bool = True) -> GeneralTracker:
        """Start the tracker, and keep its id with the settings of a new run."""
        PartialState()  # which the trackers' messages ask for
        is_new = self.former_id is None
        self.id_file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "start.lock"):  # several processes would create a database or an experiment twice
            tracker.start()
        if is_new and with_settings:
            tracker.store_init_configuration(
                {name: value for name, value in self.settings.items() if value is not None}
            )
        if is_new:
            write_whole(self.id_file, lambda temporary: temporary.write_text(id_of()))
        return tracker


def _start_tensorboard(run: _TrackedRun, stack: ExitStack) -> GeneralTracker:
    """Log to a folder of the run's name; steps after the last snapshot are logged again and replace the former ones."""
    purge = {"purge_step": run.first + 1} if run.former_id else {}
    return run.start(TensorBoardTracker(f"{run.study}/{run.name}", str(run.folder), **purge), lambda: run.name)


def _start_wandb(run: _TrackedRun, stack: ExitStack) -> GeneralTracker:
    """Log to a run of its own beside any other of this process; the tracker's own lines would break progress bars."""
    import wandb

    quiet: dict[str, dict[str, object]] = {"WANDB_CONSOLE": {"console": "off"}, "WANDB_SILENT": {"silent": True}}
    settings = {name: value for key, part in quiet.items() if key not in os.environ for name, value in part.items()}
    tracker = WandBTracker(
        os.environ.get("WANDB_PROJECT", run.study),
        name=run.name,
        id=run.former_id or secrets.token_hex(4),
        resume="allow",
        reinit="create_new",
        dir=os.environ.get("WANDB_DIR", str(run.folder)),
        config=dict(run.settings),
        settings=wandb.Settings(**settings),
    )
    return run.start(tracker, lambda: str(tracker.tracker.id), with_settings=False)  # it has them from `config`


def _start_mlflow(run: _TrackedRun, stack: ExitStack) -> GeneralTracker:
    """Log to the server or the store that the user names, or to a database in the study's folder."""
    import mlflow

    own = not mlflow.is_tracking_uri_set()
    if own:
        mlflow.set_tracking_uri(f"sqlite:///{run.folder.resolve() / 'mlflow.db'}")
        stack.callback(mlflow.set_tracking_uri, None)  # as it was
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
    tracker = MLflowTracker(
        run.study,
        logging_dir=str(run.folder.resolve() / "artifacts") if own else None,
        run_id=run.former_id,
        run_name=run.name,
        nested_run=True,  # beside a run that a notebook has open
    )
    return run.start(tracker, lambda: str(tracker.tracker.info.run_id))


_START: Mapping[str, Callable[[_TrackedRun, ExitStack], GeneralTracker]] = {
    "tensorboard": _start_tensorboard,
    "wandb": _start_wandb,
    "mlflow": _start_mlflow,
}


def _short(name: str, key: str) -> str:
    """Return a name that every file system and tracker takes: of bounded length, without separators of paths."""
    safe = re.sub(r'[\\/#?%:*"<>|\x00-\x1f]', "_", name).strip(" .") or "study"
    return safe if len(safe) <= _LONGEST else f"{safe[:_LONGEST]}~{key[:8]}"
