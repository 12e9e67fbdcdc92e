"""Importing: models that were trained elsewhere become known to a study."""

from collections.abc import Mapping
from pathlib import Path

from foretaste.errors import DataError, ParamsError, StudyError
from foretaste.names import check_name
from foretaste.params import Params
from foretaste.sources.adapter import check_adapters, open_adapter
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.sources.expert import Expert, hash_files, look, stamp_files
from foretaste.sources.preflight import Vocabulary, preflight
from foretaste.sources.preflight_adapters import preflight_adapters
from foretaste.sources.site_file import check_taken_at
from foretaste.store.study import Done, Study
from foretaste.stored import Stored
from foretaste.work.context import Unwatched, Watch
from foretaste.work.imported_models import ImportedModel, files_of, imported_models, remember_model
from foretaste.work.imports import BASE, SHOWN, latest
from foretaste.work.observer import Observer, stop_if_asked
from foretaste.work.runs import ImportedRun
from foretaste.workflow.session import Session

__all__ = ["bring", "check", "read_experts"]


def bring(
    study: Study,
    folders: Mapping[str, Path],
    base: Path | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    watch: Watch | None = None,
) -> tuple[str, ...]:
    """Let a study know experts; headers are compared before anything is read.

    Args:
        study: Has a recipe, or not yet.
        folders: By task.
        base: The pretrained checkpoint, with which experts are compared; needed where they are merged without a recipe.
        vocabulary: See `preflight`.
        watch: Told of bytes read.

    Returns:
        Notes on what was put right or is worth knowing.

    Raises:
        DataError: They are no models, or do not fit; everything that is in the way is listed.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder, "study")) as study:
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     _ = bring(study, {"a": Path(folder)})
    ...     [found.expert.kind for found in imported_models(study).values()]
    ['tensors']
    """
    watch, found, former = watch or Unwatched(), _looked(folders), latest(study)
    notes = _free(found)
    known = imported_models(study, without={*found, *([BASE] if base else [])})  # what is replaced may be gone
    experts = {**{task: each.expert for task, each in known.items() if task != BASE}, **found}
    if base is not None:
        found |= _new_base(base.resolve(), former.get(BASE))
    elif BASE in known:
        base = known[BASE].expert.folder
    notes += _compared(experts, base, vocabulary)
    replaced = {task or SHOWN: former[task].result["folder"] for task in found if task in former}
    notes += tuple(f"{name} replaces the former {name} ({folder})" for name, folder in replaced.items())
    watch.begin("reading", sum(path.stat().st_size for expert in found.values() for path in files_of(expert)))
    number = len(study.all_work("import"))
    for task, expert in found.items():
        _keep(study, task, expert, vocabulary, number, watch)
    return notes


def check(folders: Mapping[str, Path], base: Path | None = None, vocabulary: Vocabulary | None = None) -> None:
    """Look at folders before a study is made for them; see `bring`.

    Raises:
        DataError: They are no models, or do not fit.

    >>> check({})
    """
    _compared(_looked(folders), base, vocabulary)


def _looked(folders: Mapping[str, Path]) -> dict[str, Expert]:
    if BASE in folders:
        raise DataError("an expert needs its task's name, as in --task code=FOLDER")
    for task in folders:
        check_name(task)
    return {task: look(folder.resolve()) for task, folder in folders.items()}


def _new_base(folder: Path, former: Done | None) -> dict[str, Expert]:
    """The base, unless it is known as it is."""
    found = look(folder)
    if former is not None and former.result["folder"] == str(folder) and former.result.get("stamp") == stamp_files(files_of(found)):
        return {}
    return {BASE: found}


def _free(experts: Mapping[str, Expert]) -> tuple[str, ...]:
    return tuple(
        f"task {task!r}: {each.folder.name}/optimizer.pt is a pickle and is not read; a run with PosteriorCallback(estimate='adam') "
        "leaves its curvature as a site file"
        for task, each in experts.items()
        if each.site is None and (each.folder / "optimizer.pt").is_file()
    )


def _compared(experts: Mapping[str, Expert], base: Path | None, vocabulary: Vocabulary | None) -> tuple[str, ...]:
    adapters = {task: open_adapter(expert.folder) for task, expert in experts.items() if expert.kind == "adapter"}
    notes = check_adapters(adapters) if adapters else ()
    if base is None:
        return notes
    checkpoints = {task: open_checkpoint(expert.folder) for task, expert in experts.items() if expert.kind == "checkpoint"}
    like = open_checkpoint(base)
    return (*notes, *preflight_adapters(like, adapters), *preflight(like, checkpoints, vocabulary=vocabulary).notes)


def _keep(study: Study, task: str, expert: Expert, vocabulary: Vocabulary | None, number: int, watch: Watch) -> None:
    def advance(size: int) -> None:
        watch.advance(size, task or "base")
        stop_if_asked(watch)

    stamp = stamp_files(files_of(expert))  # before reading, so that a change meanwhile is noticed
    digest, site = hash_files(expert.files, advance), None
    if expert.site is not None:
        site = digest if expert.kind == "site" else hash_files([expert.site], advance)
    if expert.site is not None and expert.kind in ("checkpoint", "tensors"):
        _check_site(expert.site, Stored.open(expert.files))
    remember_model(study, ImportedModel(task, expert, digest, site, vocabulary, stamp), number)


def _check_site(path: Path, params: Params) -> None:
    try:
        check_taken_at(path, params)
    except ParamsError as error:
        raise DataError(f"{error}; or remove {path.name}, and the model is brought without curvature") from error


def read_experts(session: Session) -> None:
    """Read the models that were imported for the recipe's tasks, as if they had been trained here.

    Raises:
        StudyError: Models are there for tasks that the recipe does not have.
        DataError: One does not fit the recipe's model, or is not what was imported.

    >>> import tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.loading import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), Path(folder))
    ...     with session.study:
    ...         read_experts(session)
    """
    known, tasks = imported_models(session.study), session.problem.names
    strange = sorted(set(known) - {BASE, *tasks})
    if strange:
        raise StudyError(
            f"the study has models for {', '.join(strange)}, the recipe has the tasks {', '.join(tasks)}; use the same names, or take "
            f"a model out with foretaste import {session.study.path} --remove {strange[0]}"
        )
    for name, model in known.items():
        if name != BASE:
            ImportedRun(name, model.digest).finish(session, Observer(session.watch, 0))
