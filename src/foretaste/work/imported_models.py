"""Imported models: models that were trained elsewhere and take the place of a task's own run.

A study stores their folders and the hashes of their content. It reads their tensors only when a recipe's model needs
them in memory. Without a recipe they are merged in their files (`foretaste.workflow.files`).
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from foretaste.errors import DataError, ParamsError
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.sources.expert import Expert, hash_files, open_expert, stamp_files
from foretaste.sources.preflight import Vocabulary
from foretaste.sources.site_file import load_site
from foretaste.store.study import StudyStore
from foretaste.task import Task
from foretaste.work.context import Context
from foretaste.work.imports import BASE_LABEL, latest_imports, record_import

__all__ = [
    "ImportedModel",
    "check_unchanged",
    "files_of",
    "forget_curvature",
    "imported_models",
    "remember_model",
    "site_of_model",
]

_ESTIMATE_IT = "estimate it here: foretaste fit --estimate fisher"


@dataclass(frozen=True)
class ImportedModel:
    """A model that was imported into a study.

    Args:
        task: The task of the model; `BASE` for the pretrained one.
        expert: The model's folder.
        digest: Hash of the model's params.
        site: Hash of its site file; None if there is none to use.
        vocabulary: How added tokens are handled.
        stamp: Sizes and times of its files, the site file included, when they were read.
    """

    task: str
    expert: Expert
    digest: str
    site: str | None
    vocabulary: Vocabulary | None = None
    stamp: Sequence[Sequence[int]] = ()

    __repr__ = one_line


def imported_models(study: StudyStore, without: Collection[str] = ()) -> dict[str, ImportedModel]:
    """Return the models that were imported into a study, by task; the pretrained checkpoint is under `BASE`.

    Args:
        study: The study.
        without: Tasks to leave out.

    Raises:
        DataError: A folder is no longer there, or holds no model.
    """
    models = {}
    for task, done in latest_imports(study).items():
        if task in without:
            continue
        try:
            expert = open_expert(Path(done.result["folder"]))
        except DataError as error:
            label = shlex.quote(task or BASE_LABEL)
            way = f"import it again, or leave it out: foretaste import {study.path} --remove {label}"
            raise DataError(f"the expert of {task or 'the base'} is gone: {error}; {way}") from error
        facts = {name: done.inputs[name] for name in ("digest", "site", "vocabulary")}
        models[task] = ImportedModel(task, expert, **facts, stamp=done.result.get("stamp", ()))
    return models


def remember_model(study: StudyStore, model: ImportedModel, number: int) -> None:
    """Record an imported model in a new row; the latest row of a task counts.

    Args:
        study: The study.
        model: The model.
        number: The import's number.
    """
    facts = {"digest": model.digest, "site": model.site, "vocabulary": model.vocabulary}
    record_import(
        study,
        model.task,
        number,
        facts,
        {"folder": str(model.expert.folder), "kind": model.expert.kind, "stamp": model.stamp},
    )


def files_of(expert: Expert) -> list[Path]:
    """List the files of an imported model, the site file included."""
    return [*expert.files, *([expert.site] if expert.site and expert.kind != "site" else [])]


def check_unchanged(model: ImportedModel) -> None:
    """Check that a model's files are those that were imported, by content if size or time has changed.

    Raises:
        DataError: The content has changed.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> from foretaste.sources.expert import open_expert
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     check_unchanged(ImportedModel("a", open_expert(Path(folder)), "another hash", None))
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: ... has changed since it was imported for task 'a'; import it again
    """
    expert = model.expert
    if stamp_files(files_of(expert)) == [list(file) for file in model.stamp]:
        return
    site = None if model.site is None or expert.site is None else hash_files([expert.site])
    if hash_files(expert.files) != model.digest or site != model.site:
        what = f"for task {model.task!r}" if model.task else "as the base"
        raise DataError(f"{expert.folder} has changed since it was imported {what}; import it again")


def site_of_model(context: Context, task: Task, model: ImportedModel, params: Params) -> GaussianSite:
    """Load the site from an imported model's own site file, and centre it at the model's params.

    Args:
        context: The context, whose problem maps names.
        task: The model's task.
        model: An imported model with a site file.
        params: The task's params, by the study's names.

    Raises:
        DataError: The site does not fit the model, is at other params, or has another unit than the task.
    """
    check_unchanged(model)
    path = model.expert.site
    assert path is not None
    names = {context.problem.own_name(name): name for name in params}
    try:
        site = load_site(path, mean={own: params[name] for own, name in names.items()})
    except ParamsError as error:
        raise DataError(f"{error}; or {_ESTIMATE_IT}") from error
    if site.record.unit != task.unit:
        raise DataError(
            f"{path} is curvature per {site.record.unit}, and task {task.name!r} counts in units of one {task.unit}; "
            f"take it in this unit, or {_ESTIMATE_IT}"
        )
    if all(own == name for own, name in names.items()):
        return replace(site, center={name: params[name] for name in site.center})
    if not isinstance(site.precision, Diagonal):
        raise DataError(
            f"{path} has {site.precision.structure} curvature, and only diagonal can be split into trunk and heads;"
            f" {_ESTIMATE_IT}"
        )
    return _rename_site(site, params, names)


def _rename_site(site: GaussianSite, params: Params, names: Mapping[str, str]) -> GaussianSite:
    """Rename the tensors of a diagonal site to the study's names."""
    assert isinstance(site.precision, Diagonal)

    def rename(tensors: Params) -> dict[str, Tensor]:
        return {names[own]: tensor for own, tensor in tensors.items() if own in names}

    gradient = None if site.gradient is None else rename(site.gradient)
    center = {name: params[name] for name in rename(site.center)}
    return replace(
        site,
        center=center,
        precision=Diagonal(rename(site.precision.entries)),
        gradient=gradient,
        carried=rename(site.carried),
    )


def forget_curvature(study: StudyStore) -> None:
    """Stop using the site files of imported models from now on.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder)) as study:
    ...     forget_curvature(study)
    ...     imported_models(study)
    {}
    """
    number = len(study.all_work("import"))
    for model in imported_models(study).values():
        if model.site is not None:
            remember_model(study, replace(model, site=None), number)
