"""Import models that were trained elsewhere into a study."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from foretaste.errors import DataError, ParamsError, StudyError
from foretaste.names import check_name
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.readable import Readable, View, register_view
from foretaste.report.json import plain
from foretaste.report.sections.work import experts_section
from foretaste.sources.adapter import check_adapters, open_adapter
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.sources.expert import Expert, hash_files, open_expert, stamp_files
from foretaste.sources.preflight import Vocabulary, preflight
from foretaste.sources.preflight_adapters import preflight_adapters
from foretaste.sources.site_file import check_taken_at
from foretaste.store.study import Done, StudyStore
from foretaste.stored import Stored
from foretaste.work.context import Unwatched, Watch
from foretaste.work.imported_models import ImportedModel, files_of, imported_models, remember_model
from foretaste.work.imports import BASE, BASE_LABEL, check_removal, latest_imports, remove, undo_on_error
from foretaste.work.observer import Observer, stop_if_asked
from foretaste.work.runs import ImportedRun
from foretaste.workflow.session import Session

__all__ = ["ImportResult", "check", "import_and_read", "import_experts", "import_into", "read_experts"]


@dataclass(frozen=True)
class ImportResult(Readable):
    """What an import has left in a study.

    Args:
        experts: The imported models by task, with folder, kind, and whether curvature came with them.
        notes: What was adapted or is worth knowing.
        removed: Tasks whose models were taken out.
    """

    experts: Mapping[str, Mapping[str, object]]
    notes: tuple[str, ...]
    removed: tuple[str, ...]

    __repr__ = one_line


register_view(
    ImportResult,
    View(
        lambda result: plain(asdict(result)),
        lambda result: (experts_section(result.experts),),
        lambda result: [{"task": task, **facts} for task, facts in result.experts.items()],
    ),
)


def import_into(
    study: StudyStore,
    models: Mapping[str, Path],
    base: Path | None = None,
    vocabulary: Vocabulary | None = None,
    removed: Sequence[str] = (),
    watch: Watch | None = None,
) -> ImportResult:
    """Remove imported models from a study, import others, and describe what is there then.

    Nothing is removed before the others have been checked.

    Args:
        study: With or without a recipe.
        models: Folders by task.
        base: Folder of the pretrained checkpoint.
        vocabulary: ``base`` leaves out tokens that experts added.
        removed: Tasks whose imported models go first.
        watch: Shows progress.

    Raises:
        StudyError: There is nothing to remove or to import.
        DataError: Models do not fit.
    """
    if not models and base is None and not removed:
        raise StudyError("nothing to import; name models, as in --task code=FOLDER --task math=FOLDER")
    notes: tuple[str, ...] = ()
    if models or base:
        notes = import_experts(study, models, base, vocabulary=vocabulary, removed=removed, watch=watch)
    else:
        remove(study, removed)
    experts = {
        name or BASE_LABEL: {
            "folder": str(model.expert.folder),
            "kind": model.expert.kind,
            "curvature": bool(model.site),
        }
        for name, model in imported_models(study).items()
    }
    return ImportResult(experts, notes, tuple(removed))


def import_and_read(
    session: Session,
    models: Mapping[str, Path],
    base: Path | None = None,
    vocabulary: Vocabulary | None = None,
    removed: Sequence[str] = (),
) -> ImportResult:
    """Import models into a study at work, and read them; models that do not fit the recipe's model change nothing.

    The arguments are those of `import_into`.

    Raises:
        StudyError: There is nothing to remove or to import, or the recipe has no such task.
        DataError: Models do not fit each other, the base or the recipe's model.
    """
    with undo_on_error(session.study):
        result = import_into(session.study, models, base, vocabulary, removed, session.watch)
        read_experts(session)
    return result


def import_experts(
    study: StudyStore,
    folders: Mapping[str, Path],
    base: Path | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    removed: Sequence[str] = (),
    watch: Watch | None = None,
) -> tuple[str, ...]:
    """Import experts into a study; headers are compared before anything is read.

    The study is changed only after all of them have been read and checked.

    Args:
        study: With or without a recipe.
        folders: By task.
        base: The pretrained checkpoint, with which experts are compared; needed where they are merged without a recipe.
        vocabulary: See `preflight`.
        removed: Tasks whose imported models are removed first.
        watch: Shows how many bytes are read.

    Returns:
        Notes on what was adapted or is worth knowing.

    Raises:
        DataError: They are no models, or do not fit; everything that is in the way is listed.
        StudyError: The study has no imported model to remove.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder, "study")) as study:
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     _ = import_experts(study, {"a": Path(folder)})
    ...     [experts_here.expert.kind for experts_here in imported_models(study).values()]
    ['tensors']
    """
    watch, gone = watch or Unwatched(), check_removal(study, removed)
    experts_here = _open_experts(folders)
    former = {task: done for task, done in latest_imports(study).items() if task not in gone}
    notes = _unread_optimizers(experts_here)
    former_models = imported_models(
        study, without={*experts_here, *gone, *([BASE] if base else [])}
    )  # what is replaced may be gone
    experts = {**{task: model.expert for task, model in former_models.items() if task != BASE}, **experts_here}
    if base is not None:
        experts_here |= _new_base(base.resolve(), former.get(BASE))
    elif BASE in former_models:
        base = former_models[BASE].expert.folder
    notes += _compare_experts(experts, base, vocabulary)
    replaced = {task or BASE_LABEL: former[task].result["folder"] for task in experts_here if task in former}
    notes += tuple(f"{name} replaces the former {name} ({folder})" for name, folder in replaced.items())
    watch.begin("reading", sum(path.stat().st_size for expert in experts_here.values() for path in files_of(expert)))
    models = [_read_model(task, expert, vocabulary, watch) for task, expert in experts_here.items()]
    remove(study, removed)
    number = len(study.all_work("import"))
    for model in models:
        remember_model(study, model, number)
    return notes


def check(folders: Mapping[str, Path], base: Path | None = None, vocabulary: Vocabulary | None = None) -> None:
    """Look at folders before a study is made for them; see `import_experts`.

    Raises:
        DataError: They are no models, or do not fit.

    >>> check({})
    """
    _compare_experts(_open_experts(folders), base, vocabulary)


def _open_experts(folders: Mapping[str, Path]) -> dict[str, Expert]:
    if BASE in folders:
        raise DataError("an expert needs its task's name, as in --task code=FOLDER")
    for task in folders:
        check_name(task)
    return {task: open_expert(folder.resolve()) for task, folder in folders.items()}


def _new_base(folder: Path, former: Done | None) -> dict[str, Expert]:
    """The base, unless it is known as it is."""
    expert = open_expert(folder)
    if (
        former is not None
        and former.result["folder"] == str(folder)
        and former.result.get("stamp") == stamp_files(files_of(expert))
    ):
        return {}
    return {BASE: expert}


def _unread_optimizers(experts: Mapping[str, Expert]) -> tuple[str, ...]:
    return tuple(
        f"task {task!r}: {expert.folder.name}/optimizer.pt is a pickle and is not read; a run with"
        " PosteriorCallback(estimate='adam') leaves its curvature as a site file"
        for task, expert in experts.items()
        if expert.site is None and (expert.folder / "optimizer.pt").is_file()
    )


def _compare_experts(
    experts: Mapping[str, Expert], base: Path | None, vocabulary: Vocabulary | None
) -> tuple[str, ...]:
    adapters = {task: open_adapter(expert.folder) for task, expert in experts.items() if expert.kind == "adapter"}
    notes = check_adapters(adapters) if adapters else ()
    if base is None:
        return notes
    checkpoints = {
        task: open_checkpoint(expert.folder) for task, expert in experts.items() if expert.kind == "checkpoint"
    }
    like = open_checkpoint(base)
    return (*notes, *preflight_adapters(like, adapters), *preflight(like, checkpoints, vocabulary=vocabulary).notes)


def _read_model(task: str, expert: Expert, vocabulary: Vocabulary | None, watch: Watch) -> ImportedModel:
    """Hash a model's files, and check its site file."""

    def advance(size: int) -> None:
        watch.advance(size, task or "base")
        stop_if_asked(watch)

    stamp = stamp_files(files_of(expert))  # before reading, so that a change meanwhile is noticed
    digest, site = hash_files(expert.files, advance), None
    if expert.site is not None:
        site = digest if expert.kind == "site" else hash_files([expert.site], advance)
    if expert.site is not None and expert.kind in ("checkpoint", "tensors"):
        _check_site(expert.site, Stored.open(expert.files))
    return ImportedModel(task, expert, digest, site, vocabulary, stamp)


def _check_site(path: Path, params: Params) -> None:
    try:
        check_taken_at(path, params)
    except ParamsError as error:
        raise DataError(f"{error}; or remove {path.name}, and the model is imported without its curvature") from error


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
    models, tasks = imported_models(session.study), session.problem.names
    unknown = sorted(set(models) - {BASE, *tasks})
    if unknown:
        raise StudyError(
            f"the study has models for {', '.join(unknown)}, the recipe has the tasks {', '.join(tasks)}; use the same"
            f" names, or take a model out with foretaste import {session.study.path} --remove {unknown[0]}"
        )
    for name, model in models.items():
        if name != BASE:
            ImportedRun(name, model.digest).finish(session, Observer(session.watch, 0))
