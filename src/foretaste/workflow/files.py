"""Merging imported experts where they are: no recipe, no data, and params of any size.

Checkpoints stream part by part from file to file; adapters are added up exactly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from foretaste import __version__
from foretaste.combine import REDUCTION_ERROR, combine
from foretaste.errors import DataError, ParamsError, StudyError
from foretaste.export.adapter import write_adapter
from foretaste.export.card import CARD, Loading, card_text
from foretaste.export.checkpoint import new_checkpoint
from foretaste.export.folder import check_folder
from foretaste.lora import Adapter
from foretaste.one_line import one_line
from foretaste.pieces import CHUNK
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.sources.adapter import open_adapter
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.sources.kinds import kinds
from foretaste.sources.preflight import preflight
from foretaste.sources.preflight_adapters import base_tensors
from foretaste.sources.site_file import open_diagonal
from foretaste.store.study import StudyStore
from foretaste.stored import Stored
from foretaste.stream import MEMORY, stream
from foretaste.weights import TaskWeights, uniform
from foretaste.work.context import Watch
from foretaste.work.imported_models import ImportedModel, check_unchanged, imported_models
from foretaste.work.imports import BASE, folders_of
from foretaste.work.observer import stop_if_asked

__all__ = ["FileMethod", "Merging", "merge_files", "merge_obstacle", "parse_weights"]

FileMethod = Literal["simple", "diagonal"]


@dataclass(frozen=True)
class Merging:
    """How imported experts are merged.

    Args:
        weights: Over the imported tasks.
        method: ``simple`` (and exact for adapters), or ``diagonal`` by the curvature in their site files.
        prior_precision: delta of a diagonal merge; the mean of all curvature if left out.
        rank: Of a sum of adapters; exact if left out.
        memory: Most bytes of buffers for checkpoints, beside what Python and its libraries take; 2 GiB if left out.
    """

    weights: TaskWeights
    method: FileMethod = "simple"
    prior_precision: float | None = None
    rank: int | None = None
    memory: int | None = None

    __repr__ = one_line


def parse_weights(study: StudyStore, text: str) -> TaskWeights:
    """Task weights over a study's imported experts.

    Args:
        study: Has experts.
        text: As ``code=0.6,math=0.4``, or ``uniform``.

    Raises:
        StudyError: Nothing was imported.
        WeightsError: Weights of other tasks.
    """
    models = imported_models(study)
    tasks = [task for task in models if task != BASE]
    if not tasks:
        raise StudyError(merge_obstacle(study.path, models))
    return uniform(tasks) if text == "uniform" else TaskWeights.parse(text, tasks)


def merge_obstacle(study: Path, models: Mapping[str, ImportedModel]) -> str | None:
    """Why a study's experts cannot be merged without a recipe; None if they can.

    Args:
        study: Its folder.
        models: As `foretaste.work.imported_models.imported_models` gives them.

    >>> merge_obstacle(Path("study"), {})
    'nothing was imported into study; begin with foretaste import study --base FOLDER --task NAME=FOLDER'
    """
    kinds = {model.expert.kind for task, model in models.items() if task != BASE}
    if not kinds:
        return (
            f"nothing was imported into {study}; begin with foretaste import {study} --base FOLDER --task NAME=FOLDER"
        )
    if kinds not in ({"adapter"}, {"checkpoint"}):
        return (
            f"experts of these kinds do not merge without a recipe: {', '.join(sorted(kinds))}; import only checkpoints"
            " or only adapters (PeftModel.merge_and_unload makes an adapter a checkpoint), or use foretaste run RECIPE"
            " --study with the tasks' data"
        )
    if kinds == {"checkpoint"} and BASE not in models:
        return f"merging checkpoints needs the model they come from; add it: foretaste import {study} --base FOLDER"
    return None


def merge_files(
    study: StudyStore, target: Path, merging: Merging, watch: Watch, *, overwrite: bool = False
) -> dict[str, object]:
    """Merge imported experts into a new folder: a checkpoint as the base is, or an adapter.

    Args:
        study: Knows the experts.
        target: A folder that does not exist yet.
        merging: How.
        watch: Told of bytes written.
        overwrite: Whether a folder that foretaste wrote is replaced, when the new one is complete; never the study's or
            an expert's.

    Returns:
        How it came about, which is also kept beside it in ``foretaste.json``.

    Raises:
        StudyError: Experts of kinds that do not merge, or no base.
        DataError: Experts that do not fit, or without the curvature that is asked for.
        StorageError: The folder exists, or the disk refuses.
    """
    keep = {"the study's folder": study.path, **folders_of(study)}
    check_folder(target, overwrite=overwrite, keep=keep)  # before anything is read
    models = imported_models(study)
    for model in models.values():
        check_unchanged(model)
    experts = {task: model for task, model in models.items() if task != BASE}
    facts: dict[str, object] = {
        "at": str(merging.weights),
        "weights": dict(merging.weights.items()),
        "method": merging.method,
        "pretrained": models[BASE].digest if BASE in models else None,
        "experts": {
            task: {"folder": model.expert.folder.name, "sha256": model.digest} for task, model in experts.items()
        },
        "version": f"foretaste {__version__}",
    }
    if (reason := merge_obstacle(study.path, models)) is not None:
        raise StudyError(reason)
    if {model.expert.kind for model in experts.values()} == {"adapter"}:
        return _adapters(experts, models.get(BASE), target, merging, facts, overwrite, keep)
    if merging.rank is not None:
        raise StudyError("a rank is for sums of adapters, and these experts are checkpoints; leave it out")
    return _checkpoints(experts, models[BASE], target, merging, facts, watch, overwrite, keep)


def _adapters(
    experts: Mapping[str, ImportedModel],
    base: ImportedModel | None,
    target: Path,
    merging: Merging,
    facts: dict[str, object],
    overwrite: bool,
    keep: Mapping[str, Path],
) -> dict[str, object]:
    if merging.method != "simple":
        raise StudyError("adapters add up exactly by method simple; diagonal needs a recipe with the tasks' data")
    if merging.memory is not None:
        raise StudyError(
            "a memory budget is for checkpoints, and these experts are adapters, which are held whole; leave it out"
        )
    adapters = {task: open_adapter(model.expert.folder) for task, model in experts.items()}
    tensors = None if base is None else base_tensors(open_checkpoint(base.expert.folder), adapters)
    try:
        combined = combine(adapters, merging.weights, rank=merging.rank, base=tensors)
    except ParamsError as error:
        way = " (foretaste import STUDY --base FOLDER)" if base is None else ""
        raise DataError(f"{error}{way}") from error
    ranks = sorted({factors.rank for factors in combined.adapter.modules.values()})
    facts |= {"ranks": ranks, REDUCTION_ERROR: combined.error, "left out": list(combined.left_out)}
    card = card_text(facts, _loading(combined.adapter))
    write_adapter(target, combined.adapter, facts, overwrite=overwrite, keep=keep, card=card)
    return facts


def _checkpoints(
    experts: Mapping[str, ImportedModel],
    base: ImportedModel,
    target: Path,
    merging: Merging,
    facts: dict[str, object],
    watch: Watch,
    overwrite: bool,
    keep: Mapping[str, Path],
) -> dict[str, object]:
    like = open_checkpoint(base.expert.folder)
    vocabulary = next((model.vocabulary for model in experts.values() if model.vocabulary), None)
    fitting = preflight(
        like, {task: open_checkpoint(model.expert.folder) for task, model in experts.items()}, vocabulary=vocabulary
    )
    if merging.method == "diagonal":
        sites = {task: _site_of(experts[task], params) for task, params in fitting.params.items()}
        scale = _mean_curvature(sites.values()) if merging.prior_precision is None else merging.prior_precision
        facts["prior precision"] = scale
    else:
        sites, scale = {task: GaussianSite.flat(params) for task, params in fitting.params.items()}, 1.0
    memory = MEMORY if merging.memory is None else merging.memory
    pieces = stream(Gaussian(like.params, Isotropic(scale)), sites, [merging.weights], memory=memory)
    watch.begin("merging", sum(entry.count for entry in like.params.entries.values()))
    with new_checkpoint(target, like, facts, overwrite=overwrite, keep=keep) as writer:
        for piece, (tensors,) in pieces:
            writer.put(piece, tensors)
            watch.advance(sum(tensor.numel() for tensor in tensors.values()))
            stop_if_asked(watch)
        (writer.folder / CARD).write_text(card_text(facts), encoding="utf-8")
    return facts


def _loading(adapter: Adapter) -> Loading | None:
    """How an adapter is loaded, if its configuration names its base and a task that transformers has a class for."""
    base, task = (adapter.config.get(name) for name in ("base_model_name_or_path", "task_type"))
    kind = next((kind for kind in kinds() if kind.peft_type is not None and kind.peft_type == task), None)
    return Loading(base, kind.model_class.__name__, adapter=True) if kind and isinstance(base, str) and base else None


def _site_of(model: ImportedModel, params: Stored) -> GaussianSite:
    """A site with the curvature that lies beside an expert, left in its file."""
    if model.site is None or model.expert.site is None:
        raise DataError(
            f"{model.expert.folder} has no curvature beside it; train with PosteriorCallback, use"
            " foretaste.sources.loop.capture, or merge by --method simple"
        )
    entries, record = open_diagonal(model.expert.site)
    absent = [name for name in params if name not in entries]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise DataError(
            f"{model.expert.site} has no curvature of {absent[0]}{more}; was it estimated on another model?"
        )
    return GaussianSite(params, Diagonal(entries), record=record)


def _mean_curvature(sites: Iterable[GaussianSite]) -> float:
    """Over all entries of all sites, read part by part."""
    total, count = 0.0, 0
    for site in sites:
        assert isinstance(site.precision, Diagonal)
        assert isinstance(site.precision.entries, Stored)
        stored = site.precision.entries
        for name, entry in stored.entries.items():
            cuts = (slice(start, start + CHUNK) for start in range(0, entry.count, CHUNK))
            total += sum(float(stored.part(name, cut).sum(dtype=torch.float64)) for cut in cuts)
            count += entry.count
    return max(total / count, 1e-12)
