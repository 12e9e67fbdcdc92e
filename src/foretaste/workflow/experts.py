"""Experts in a study: models that were trained elsewhere and take the place of a task's own run.

A study knows where they are and what they hold (a content hash), and copies them only when a recipe's model needs them in
memory; without a recipe they are merged where they are (`foretaste.workflow.files`).
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from foretaste.engine import Unwatched, Watch, do, stop_if_asked
from foretaste.errors import DataError, ParamsError, StudyError
from foretaste.names import check_name
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.sources.adapter import check_adapters, open_adapter
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.sources.expert import Expert, fitted_to, hash_files, look, stamp_files
from foretaste.sources.preflight import Vocabulary, preflight
from foretaste.sources.preflight_adapters import preflight_adapters
from foretaste.sources.site_file import check_taken_at, load_site
from foretaste.store.study import Done, Study
from foretaste.stored import Stored
from foretaste.task import Task
from foretaste.workflow.imports import BASE, SHOWN, latest, record
from foretaste.workflow.session import Session

__all__ = ["Brought", "bring", "brought", "check", "check_same", "curvature_of", "forget_curvature", "params_of", "read_experts"]


@dataclass(frozen=True)
class Brought:
    """An expert that a study knows.

    Args:
        task: Whose model it is; `BASE` for the pretrained one.
        expert: The folder.
        digest: Hash of its params.
        site: Hash of its site file, if that is to be used.
        vocabulary: How added tokens are handled.
        stamp: Sizes and times of its files and its site file when they were read.
    """

    task: str
    expert: Expert
    digest: str
    site: str | None
    vocabulary: Vocabulary | None = None
    stamp: Sequence[Sequence[int]] = ()

    __repr__ = one_line


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
    ...     [found.expert.kind for found in brought(study).values()]
    ['tensors']
    """
    watch, found, former = watch or Unwatched(), _looked(folders), latest(study)
    notes = _free(found)
    known = brought(study, without={*found, *([BASE] if base else [])})  # what is replaced may be gone
    experts = {**{task: each.expert for task, each in known.items() if task != BASE}, **found}
    if base is not None:
        found |= _new_base(base.resolve(), former.get(BASE))
    elif BASE in known:
        base = known[BASE].expert.folder
    notes += _compared(experts, base, vocabulary)
    replaced = {task or SHOWN: former[task].result["folder"] for task in found if task in former}
    notes += tuple(f"{name} replaces the former {name} ({folder})" for name, folder in replaced.items())
    watch.begin("reading", sum(path.stat().st_size for expert in found.values() for path in _files(expert)))
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
    if former is not None and former.result["folder"] == str(folder) and former.result.get("stamp") == stamp_files(_files(found)):
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

    stamp = stamp_files(_files(expert))  # before reading, so that a change meanwhile is noticed
    digest, site = hash_files(expert.files, advance), None
    if expert.site is not None:
        site = digest if expert.kind == "site" else hash_files([expert.site], advance)
    if expert.site is not None and expert.kind in ("checkpoint", "tensors"):
        _check_site(expert.site, Stored.open(expert.files))
    _remember(study, Brought(task, expert, digest, site, vocabulary, stamp), number)


def _files(expert: Expert) -> list[Path]:
    return [*expert.files, *([expert.site] if expert.site and expert.kind != "site" else [])]


def _check_site(path: Path, params: Params) -> None:
    try:
        check_taken_at(path, params)
    except ParamsError as error:
        raise DataError(f"{error}; or remove {path.name}, and the model is brought without curvature") from error


def _remember(study: Study, each: Brought, number: int) -> None:
    """A row of its own even where it was known before: the latest counts."""
    said = {"digest": each.digest, "site": each.site, "vocabulary": each.vocabulary}
    record(study, each.task, number, said, {"folder": str(each.expert.folder), "kind": each.expert.kind, "stamp": each.stamp})


def brought(study: Study, without: Collection[str] = ()) -> dict[str, Brought]:
    """The experts that a study knows, by task; the pretrained checkpoint under `BASE`.

    Args:
        study: Knows them.
        without: Tasks that are not looked at.

    Raises:
        DataError: A folder is not there any more, or holds no model.
    """
    found = {}
    for task, done in latest(study).items():
        if task in without:
            continue
        try:
            expert = look(Path(done.result["folder"]))
        except DataError as error:
            way = f"import it again, or leave it out: foretaste import {study.path} --remove {shlex.quote(task or SHOWN)}"
            raise DataError(f"the expert of {task or 'the base'} is not there any more: {error}; {way}") from error
        said = {name: done.inputs[name] for name in ("digest", "site", "vocabulary")}
        found[task] = Brought(task, expert, **said, stamp=done.result.get("stamp", ()))
    return found


def read_experts(session: Session) -> None:
    """Read the models that were imported for the recipe's tasks, as if they had been trained here.

    Raises:
        StudyError: Models are there for tasks that the recipe does not have.
        DataError: One does not fit the recipe's model, or is not what was imported.

    >>> import tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), Path(folder))
    ...     with session.study:
    ...         read_experts(session)
    """
    known, tasks = brought(session.study), {task.name: task for task in session.problem.tasks}
    strange = sorted(set(known) - {BASE, *tasks})
    if strange:
        raise StudyError(
            f"the study has models for {', '.join(strange)}, the recipe has the tasks {', '.join(tasks)}; use the same names, or take "
            f"a model out with foretaste import {session.study.path} --remove {strange[0]}"
        )
    for name, each in known.items():
        if name != BASE:
            params_of(session, tasks[name], each)


def params_of(session: Session, task: Task, each: Brought) -> Done:
    """A task's params from its expert, kept in the study as if they had been trained there.

    Raises:
        DataError: It does not fit the model, or is not what was imported.
    """

    def make() -> tuple[dict[str, object], Params]:
        check_same(each)
        model = session.problem.model
        if each.expert.kind == "site":
            site = load_site(each.expert.files[0])
            params = fitted_to(model, task, {**site.center, **site.carried}, each.expert.folder)
        else:
            params = session.problem.read(model, task, each.expert)
        return {"history": [], "seen": {}, "imported": str(each.expert.folder)}, params

    inputs = {"base": session.base, "task": [task.name, task.identity], "import": each.digest}
    return do(session.study, "finetune", inputs, make, session.watch)


def check_same(each: Brought) -> None:
    """Look whether an expert's files are what was imported: by size and time, and by content where these have changed.

    Raises:
        DataError: They hold something else.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder, "study")) as study:
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     _ = bring(study, {"a": Path(folder)})
    ...     save_file({"w": torch.zeros(1)}, Path(folder, "model.safetensors"))
    ...     check_same(brought(study)["a"])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: ... has changed since it was imported for task 'a'; import it again
    """
    expert = each.expert
    if stamp_files(_files(expert)) == [list(file) for file in each.stamp]:
        return
    site = None if each.site is None or expert.site is None else hash_files([expert.site])
    if hash_files(expert.files) != each.digest or site != each.site:
        what = f"for task {each.task!r}" if each.task else "as the base"
        raise DataError(f"{expert.folder} has changed since it was imported {what}; import it again")


def curvature_of(session: Session, task: Task, each: Brought, params: Params) -> GaussianSite:
    """The site of an expert's own site file, at its params.

    Args:
        session: Whose problem gives the names.
        task: Whose it is.
        each: Has a site file.
        params: The task's, by the study's names.

    Raises:
        DataError: It does not fit, was taken at other params, or is in another unit than the task.
    """
    check_same(each)
    path = each.expert.site
    assert path is not None
    anew = "let `foretaste fit --estimate fisher` make it anew"
    names = {session.problem.own_name(name): name for name in params}
    try:
        site = load_site(path, mean={own: params[name] for own, name in names.items()})
    except ParamsError as error:
        raise DataError(f"{error}; or {anew}") from error
    if site.record.unit != task.unit:
        raise DataError(
            f"{path} is curvature per {site.record.unit}, and task {task.name!r} counts in units of one {task.unit}; "
            f"take it in this unit, or {anew}"
        )
    renamed = any(own != name for own, name in names.items())
    if renamed and not isinstance(site.precision, Diagonal):
        raise DataError(f"{path} has {site.precision.structure} curvature, and only diagonal can be split into trunk and heads; {anew}")
    return _by_names(site, params, names) if renamed else replace(site, center={name: params[name] for name in site.center})


def _by_names(site: GaussianSite, params: Params, names: Mapping[str, str]) -> GaussianSite:
    """A diagonal site under the study's names."""
    assert isinstance(site.precision, Diagonal)

    def renamed(found: Params) -> dict[str, Tensor]:
        return {names[own]: tensor for own, tensor in found.items() if own in names}

    gradient = None if site.gradient is None else renamed(site.gradient)
    center = {name: params[name] for name in renamed(site.center)}
    return replace(
        site, center=center, precision=Diagonal(renamed(site.precision.entries)), gradient=gradient, carried=renamed(site.carried)
    )


def forget_curvature(study: Study) -> None:
    """From now on experts come without the curvature in their site files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder)) as study:
    ...     forget_curvature(study)
    ...     brought(study)
    {}
    """
    number = len(study.all_work("import"))
    for each in brought(study).values():
        if each.site is not None:
            _remember(study, replace(each, site=None), number)
