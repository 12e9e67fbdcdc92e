"""Export: a preview or a joint run as files that need neither the study nor this library."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foretaste import __version__
from foretaste.combine import REDUCTION_ERROR
from foretaste.document.blocks import Section, line_table
from foretaste.errors import StudyError
from foretaste.export.card import CARD, Loading, card_text
from foretaste.export.folder import FACTS, check_folder, new_folder
from foretaste.export.hub import check_hub, upload
from foretaste.lora import Factors
from foretaste.method_table import METHOD_TABLE, check_method_name
from foretaste.methods.previews import preview_inputs
from foretaste.methods.registry import last_with_params, require_params
from foretaste.params import Params, swapped, tensors_of
from foretaste.plan import Recipe
from foretaste.readable import ReadableMapping, View, register_view
from foretaste.report.json import plain
from foretaste.sources.plans import TransformersModel
from foretaste.sources.weight_space import WeightSpace
from foretaste.store.study import StudyStore
from foretaste.surface.joint_shares import JointData, shares_record
from foretaste.target import EXPORTS, resolved
from foretaste.updates import Updates
from foretaste.weights import TaskWeights
from foretaste.work.imports import folders_of
from foretaste.work.judge import reestimate_statistics
from foretaste.work.runs import JointRun
from foretaste.workflow.confirm import check_trainable
from foretaste.workflow.preview import prepare_merger
from foretaste.workflow.session import Session

__all__ = [
    "EXPORTS",
    "Export",
    "check_rank",
    "check_target",
    "choose_export_method",
    "choose_written",
    "default_method",
    "export",
    "protected_paths",
]


class Export(ReadableMapping[Any]):
    """What was written, and where it comes from: the facts beside an exported model or data mixture."""


register_view(
    Export,
    View(
        lambda facts: plain(dict(facts)),
        lambda facts: (Section("", (line_table("", {name: str(value) for name, value in facts.items()}),)),),
        lambda facts: [dict(facts)],
    ),
)


def export(
    session: Session,
    target: Path,
    weights: TaskWeights,
    method: str | None = None,
    *,
    rank: int | None = None,
    push: str | None = None,
    private: bool = False,
    overwrite: bool = False,
) -> Export:
    """Write a model as its source keeps models: a transformers checkpoint, or a safetensors file.

    Args:
        session: The recipe at work.
        target: A folder that does not exist yet.
        weights: alpha.
        method: A preview method, or ``joint`` for the joint run, which is made if it is not there; `default_method` if
            left out.
        rank: The largest rank of a merged adapter. If left out, a sum of factors is exact, and a merge with curvature
            gets the rank that the tasks' factors have together.
        push: Name of a repository on the Hugging Face hub that the folder is uploaded to.
        private: Whether a new repository is for its owner alone.
        overwrite: Whether a folder that foretaste wrote is replaced, when the new one is complete; never one that the
            study needs.

    Returns:
        Where the params come from, which is also kept beside them in ``foretaste.json``.

    Raises:
        RecipeError: A preview method without params.
        StudyError: A rank, and no preview of models that are trained by LoRA.
        StorageError: The folder or the repository exists, or the disk or the hub refuses.

    >>> import tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.loading import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), Path(folder, "study"))
    ...     with session.study:
    ...         facts = export(session, Path(folder, "out"), uniform(session.problem.names), "simple")
    ...     facts["method"], sorted(path.name for path in Path(folder, "out").iterdir())
    ('simple', ['foretaste.json', 'model.safetensors'])
    """
    method = choose_export_method(session.recipe, method)
    check_rank(session.recipe, method, rank)
    if push is not None:
        check_hub(push, overwrite=overwrite)
    model = session.problem.model
    needed = sum(t.numel() * t.element_size() for t in tensors_of(model).values())
    with new_folder(
        target, needed, overwrite=overwrite, keep=protected_paths(session.recipe, session.study.path, target)
    ) as folder:
        params, origin = _joint(session, weights) if method == "joint" else _preview(session, weights, method, rank)
        facts = {
            "at": str(weights),
            "weights": dict(weights.items()),
            "method": method,
            **origin,
            "joint_run": _joint_run(session, weights),
            "study": session.recipe.name,
            "pretrained": session.base,
            "data": session.data,
            "seed": session.recipe.seed,
            "version": f"foretaste {__version__}",
        }
        with swapped(model, params):
            session.problem.save(model, folder)
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
        if isinstance(source := session.recipe.model, TransformersModel):
            loading = Loading(source.path, source.row.model_class.__name__, session.recipe.finetune.method == "lora")
            (folder / CARD).write_text(card_text(facts, loading), encoding="utf-8")
    pushed = {} if push is None else {"pushed": upload(target, push, private=private)}
    return Export({"written": str(target), **pushed, **facts})


def _joint_run(session: Session, weights: TaskWeights) -> dict[str, Any] | None:
    """Tell what a joint run at some weights draws of each task."""
    recipe = session.study.recipe()
    return None if recipe is None else shares_record(JointData(**recipe[1]["joint_data"]), weights)


def default_method(recipe: Recipe) -> str:
    """Return the preview method that is exported by default: the last of the recipe's whose previews have params.

    >>> from foretaste.recipe import parse
    >>> default_method(parse("{name: a, model: {source: digits}, preview: {methods: [diagonal, predictive]}}"))
    'diagonal'
    """
    return last_with_params(recipe.preview.methods)


def choose_written(method: str | None, *, joint: bool) -> str | None:
    """Return the name of what is written: ``joint`` for the joint run, else the preview method.

    Raises:
        StudyError: Both are asked for.

    >>> choose_written(None, joint=True)
    'joint'
    """
    if joint and method:
        raise StudyError("joint (--joint) writes the joint run, and method (--method) a preview; leave one of them out")
    return "joint" if joint else method


def choose_export_method(recipe: Recipe, method: str | None) -> str:
    """Return the method to export by.

    Raises:
        RecipeError: There is no such method, or its previews have no params.

    >>> from foretaste.recipe import parse
    >>> choose_export_method(parse("{name: a, model: {source: digits}}"), "simple")
    'simple'
    """
    if method is None:
        return default_method(recipe)
    if method != "joint":
        require_params(check_method_name(method))
    return method


def check_rank(recipe: Recipe, method: str, rank: int | None) -> None:
    """Check that what is exported has a rank, if one is asked for.

    Raises:
        StudyError: It has none.

    >>> from foretaste.recipe import parse
    >>> check_rank(parse("{name: a, model: {source: digits}}"), "simple", None)
    """
    if rank is None:
        return
    what = "this study trains all params" if recipe.finetune.method != "lora" else ""
    if method == "joint" or METHOD_TABLE[method].coordinates == "lora":
        what = f"what {method} writes has the recipe's rank"
    if what:
        raise StudyError(f"rank (--rank) is for merges of LoRA updates, and {what}; leave it out")


def check_target(recipe: Recipe, study: Path, target: Path, *, overwrite: bool = False) -> None:
    """Look whether an export may be written to a folder, before there is any work for it.

    Args:
        recipe: Of the study.
        study: The study's folder, which need not be there yet.
        target: The folder to be.
        overwrite: Whether one that foretaste wrote may be replaced.

    Raises:
        StorageError: It may not.
    """
    check_folder(target, overwrite=overwrite, keep=protected_paths(recipe, study, target))


def protected_paths(recipe: Recipe, study: Path, target: Path) -> dict[str, Path]:
    """List what an export must not replace: the study, the model, the data, imported experts; by what they are.

    Args:
        recipe: Of the study.
        study: The study's folder.
        target: The folder to be; in the study's own folder of exports it may be.
    """
    in_exports = resolved(target).parent.is_relative_to(resolved(study / EXPORTS))
    paths = {} if in_exports else {"the study's folder": study}
    if isinstance(recipe.model, TransformersModel):
        paths["the recipe's model"] = Path(recipe.model.path)
    for task, data in recipe.tasks.items():
        paths |= {
            f"the {part} data of task {task!r}": Path(path)
            for part, path in (("training", data.train), ("validation", data.validation))
        }
    if StudyStore.exists(study):
        with StudyStore.open(study) as opened:
            paths |= folders_of(opened)
    return {name: path for name, path in paths.items() if path.exists()}


def _joint(session: Session, weights: TaskWeights) -> tuple[Params, Mapping[str, object]]:
    check_trainable(session.problem, [weights])
    work = JointRun(weights)
    if not work.is_finished(session):
        session.watch.say(f"no joint run at {weights} yet: training one, {session.joint_training.steps} steps")
    record = session.finish([work])[0].done
    return session.study.tensors(record.artefact), {"params": record.artefact, "training": record.inputs["training"]}


def _preview(
    session: Session, weights: TaskWeights, method: str, rank: int | None
) -> tuple[Params, Mapping[str, object]]:
    _, merger = prepare_merger(session, method)
    params = reestimate_statistics(session, merger.merge(weights).params, weights)
    inputs = preview_inputs(session, method, weights)
    facts = {name: value for name, value in inputs.items() if name not in ("method", "weights")}
    space = session.space
    if isinstance(params, Updates) and isinstance(space, WeightSpace):
        params, error = space.reduced(params, rank, len(session.problem.tasks))
        ranks = sorted({update.rank for update in params.layers.values() if isinstance(update, Factors)})
        facts |= {"ranks": ranks, REDUCTION_ERROR: error}
    return params, facts
