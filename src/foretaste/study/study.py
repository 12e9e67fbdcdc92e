"""The front door: a study, how it is opened, and through its verbs everything that can be done with it.

Commands, the page's jobs and notebooks call the same verbs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import final

from torch import nn

from foretaste.engines.engine import Engine
from foretaste.errors import RecipeError
from foretaste.report.display import display_progress
from foretaste.store.study import StudyStore
from foretaste.study.opening import RecipeSource, open_in_memory, open_outside, open_recipe
from foretaste.study.verbs import StudyVerbs
from foretaste.study.watch import VerbWatch
from foretaste.task import Task
from foretaste.work.context import Unwatched, Watch
from foretaste.workflow.outside import MetricNames
from foretaste.workflow.reopen import reopen
from foretaste.workflow.session import Session

__all__ = ["Study"]

_Part = Mapping[str, object] | None


@final
class Study(StudyVerbs):
    """A study with everything that can be done with it: its verbs are the commands of the command line.

    A study is opened from a recipe, from a model and tasks in memory, from the names of tasks whose runs are made
    elsewhere, or, if it exists, from its folder alone. No verb repeats work that the study has already. Nothing is
    created before everything that is given has been checked.

    Args:
        folder: The study's folder, which keeps everything.
        recipe: The path of a recipe (YAML), or a mapping with the same words.
        model: A pretrained model in memory, in place of a recipe: any module, a transformers model, or a PEFT model.
            Parameters that need no gradient are not trained.
        tasks: The tasks of the model in memory. Without a model: each task's metric or metrics by the task's name, such
            as ``{"code": ["pass@1", "pass@10"], "chat": "loss"}``, for runs that are told.
        domains: What is mixed, if runs are told and that is not the tasks.
        name: Name of the study; the folder's if left out. This and what follows are the parts of a recipe.
        seed: Seed of all training.
        finetune: How every model is trained, such as ``{"steps": 300, "learning_rate": 1e-3}``.
        curvature: How each task's curvature is estimated.
        ensemble: Several runs per task, for methods that want them.
        variational: How the method ``variational`` trains.
        preview: Which previews are made.
        joint: The joint runs that previews are checked against.
        recommend: What to recommend.
        snapshot_seconds: Seconds between two snapshots of unfinished training.
        variables: Values of the recipe's variables ``${NAME}``.
        workers: How many processes do the work; as the recipe says if left out.
        engine: Does the work, in place of these processes.
        watch: Shows progress in place of the bars, and may ask to stop.
        progress: Whether progress is shown.
        trust: Whether the recipe that a study keeps may run its own Python code, whoever made the study.

    Raises:
        BadInput: Something that was given cannot be used; the message says what to do.

    >>> import tempfile
    >>> recipe = {"name": "a", "model": {"source": "digits"}, "finetune": {"steps": 1}}
    >>> with tempfile.TemporaryDirectory() as folder, Study(folder + "/a.study", recipe, progress=False) as study:
    ...     rows = study.preview(["uniform", {"low": 1.0}], "simple")
    ...     study
    Study('a', 2 rows)
    """

    def __init__(
        self,
        folder: str | Path,
        recipe: RecipeSource | None = None,
        *,
        model: nn.Module | None = None,
        tasks: Sequence[Task] | Mapping[str, MetricNames] | None = None,
        domains: Sequence[str] = (),
        name: str | None = None,
        seed: int | None = None,
        finetune: _Part = None,
        curvature: _Part = None,
        ensemble: _Part = None,
        variational: _Part = None,
        preview: _Part = None,
        joint: _Part = None,
        recommend: _Part = None,
        snapshot_seconds: float | None = None,
        variables: Mapping[str, str] | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
        watch: Watch | None = None,
        progress: bool = True,
        trust: bool = False,
    ) -> None:
        own = VerbWatch(display_progress) if watch is None and progress else None
        used_watch, place = watch or own or Unwatched(), Path(folder)
        parts: dict[str, object] = {
            "name": name,
            "seed": seed,
            "finetune": finetune,
            "curvature": curvature,
            "ensemble": ensemble,
        }
        parts |= {"variational": variational, "preview": preview, "joint": joint, "recommend": recommend}
        parts |= {"snapshot_seconds": snapshot_seconds}
        parts = {part: value for part, value in parts.items() if value is not None}
        _check_arguments(recipe, model, tasks, parts, domains)
        _check_recipe_options(recipe, model, variables, workers)
        begin: Callable[[], Session] = partial(reopen, place, used_watch, trust=trust, workers=workers, engine=engine)
        if recipe is not None:
            begin = partial(open_recipe, place, recipe, variables or {}, used_watch, workers=workers, engine=engine)
        elif isinstance(tasks, Mapping):
            open_outside(place, tasks, domains, recommend or {})
        elif model is not None and tasks is not None:
            begin = partial(open_in_memory, place, model, tasks, parts, used_watch, engine=engine)
        else:
            StudyStore.open(place).close()  # fails now if there is no study
        self._attach(place, begin, used_watch, nullcontext if own is None else own.at_work)
        if recipe is not None or model is not None:
            with self._at_work():
                pass

    def _attach(
        self,
        folder: Path,
        begin: Callable[[], Session],
        watch: Watch,
        showing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> "Study":
        self._folder, self._begin, self._watch, self._showing = folder, begin, watch, showing
        self._session: Session | None = None
        return self

    @classmethod
    def of(cls, session: Session) -> "Study":
        """Return the study of a session that is open."""
        study = object.__new__(cls)._attach(session.study.path, lambda: session, session.watch)
        study._session = session
        return study

    @contextmanager
    def _at_work(self) -> Iterator[Session]:
        """Show progress, and load model and data if no verb has needed them yet."""
        with self._showing():
            if self._session is None:
                self._session = self._begin()
            yield self._session

    @contextmanager
    def _reading(self) -> Iterator[StudyStore]:
        if self._session is not None:
            yield self._session.study
            return
        with StudyStore.open(self._folder) as study:
            yield study

    def close(self) -> None:
        """Close the study's files and end its worker processes."""
        if self._session is not None:
            self._session.engine.close()
            self._session.study.close()

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def watch(self) -> Watch:
        """What shows progress and may ask to stop."""
        return self._watch

    def watched_by(self, watch: Watch) -> "Study":
        """Return this study with another watch."""
        with self._at_work() as session:
            return Study.of(replace(session, watch=watch))


def _check_arguments(
    recipe: RecipeSource | None,
    model: nn.Module | None,
    tasks: Sequence[Task] | Mapping[str, MetricNames] | None,
    parts: Mapping[str, object],
    domains: Sequence[str],
) -> None:
    """Check that a study is opened in one way.

    Raises:
        RecipeError: A recipe comes with parts of another, or a model without tasks.
    """
    others = [name for name, value in (("model", model), ("tasks", tasks)) if value is not None] + list(parts)
    if recipe is not None and others:
        raise RecipeError(f"a recipe has its own {others[0]}; write it there, or leave the recipe out")
    is_told = isinstance(tasks, Mapping)
    if domains and not is_told:
        raise RecipeError('domains are of a study whose runs are told; name its tasks, as in tasks={"code": "pass@1"}')
    if is_told and model is not None:
        raise RecipeError("the tasks of a model in memory are examples; pass tasks=[foretaste.Task(...), ...]")
    if is_told and (unused := [part for part in parts if part != "recommend"]):
        raise RecipeError(
            f"{unused[0]} is for studies that train; the runs of this one are made elsewhere, so leave it out"
        )
    if (model is None) != (tasks is None) and not is_told:
        lacking = "tasks=[foretaste.Task(...), ...]" if tasks is None else "model=..."
        raise RecipeError(f"a study in memory needs a model and its tasks; add {lacking}")
    if recipe is None and model is None and not is_told and parts:
        raise RecipeError(f"{next(iter(parts))} belongs to a model in memory; add model=... and tasks=[...]")


def _check_recipe_options(
    recipe: RecipeSource | None, model: nn.Module | None, variables: Mapping[str, str] | None, workers: int | None
) -> None:
    """Check that values of variables come with a recipe, and that several workers need no model in memory.

    Raises:
        RecipeError: They do not.
    """
    if variables and recipe is None:
        raise RecipeError("variables have their values in a recipe; pass recipe=..., or leave them out")
    if model is not None and workers not in (None, 1):
        raise RecipeError(f"workers is {workers}; a model in memory is used by this process alone, so leave it out")
