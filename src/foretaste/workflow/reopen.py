"""Open a study for work without its recipe's file, from the recipe that the study keeps."""

from pathlib import Path

from pydantic import ValidationError

from foretaste.engines.choose import engine_for
from foretaste.engines.engine import Engine
from foretaste.errors import StudyError
from foretaste.plan import Recipe
from foretaste.sources.plans import MemoryModel
from foretaste.store.study import StudyStore
from foretaste.work.context import Unwatched, Watch
from foretaste.workflow.check import load_watched
from foretaste.workflow.outcome import is_from_outside
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from foretaste.workflow.trust import check_trust
from foretaste.workflow.version import check_version

__all__ = ["reopen"]


def reopen(
    folder: Path,
    watch: Watch | None = None,
    *,
    trust: bool = False,
    workers: int | None = None,
    engine: Engine | None = None,
) -> Session:
    """Open a session of the study's latest recipe, with its model and data loaded again.

    Args:
        folder: The study's folder.
        watch: Shows progress.
        trust: Whether code that the recipe runs may run, whoever made the study.
        workers: How many processes do the work; as the recipe says if left out.
        engine: Does the work, in place of these processes.

    Raises:
        StudyError: The study is empty, is of a model that was in memory, was made by a version that did not keep its
            recipe, or the recipe runs code that is not trusted.
        DataError: The model or data are no longer where they were.

    >>> import tempfile
    >>> from foretaste.loading import load
    >>> from foretaste.recipe import parse
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     start(recipe, text, load(recipe, text, ""), Path(folder)).study.close()
    ...     session = reopen(Path(folder))
    ...     session.study.close()
    ...     session.recipe == recipe
    True
    """
    with StudyStore.open(folder) as study:
        recipe = _stored_recipe(study)
        text = (study.recipe() or ("", {}))[0]
    if isinstance(recipe.model, MemoryModel):
        raise StudyError(
            f"the study {folder} is of a model in memory ({recipe.model.architecture}); pass both again to go on:"
            f" foretaste.Study({str(folder)!r}, model=..., tasks=[...]). What it has can be read without them"
        )
    if not trust:
        check_trust(folder, recipe)
    problem = load_watched(recipe, text, str(folder), watch or Unwatched())
    used_engine = engine or engine_for(recipe, workers)
    return start(recipe, text, problem, folder, watch, file=str(folder), engine=used_engine)


def _stored_recipe(study: StudyStore) -> Recipe:
    """Return the recipe that a study was last worked on with.

    Raises:
        StudyError: The study has none, or was made by a version that did not keep all of it.
    """
    stored, folder = study.recipe(), study.path
    if stored is None:
        raise StudyError(f"the study {folder} is empty; run `foretaste run RECIPE --study {folder}` first")
    if is_from_outside(stored[1]):
        raise StudyError(
            f"the study {folder} has no recipe: its runs are made elsewhere; `foretaste ask` says what to run, and"
            " `foretaste tell` adds results"
        )
    try:
        return Recipe.model_validate(stored[1]["recipe"])
    except (KeyError, ValidationError):
        check_version(stored[1], folder)
        advice = f"run `foretaste run RECIPE --study {folder}` once (what is done is found), then try again"
        raise StudyError(
            f"the study {folder} was made by an earlier version, which did not keep all of its recipe; {advice}"
        ) from None
