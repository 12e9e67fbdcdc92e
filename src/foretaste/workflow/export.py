"""Export: a preview or a joint run as files that need neither the study nor this library."""

import json
from collections.abc import Mapping
from pathlib import Path

from foretaste import __version__
from foretaste.export.folder import FACTS, check_folder, new_folder
from foretaste.params import Params, swapped, tensors_of
from foretaste.plan import TransformersModel
from foretaste.target import EXPORTS, resolved
from foretaste.weights import TaskWeights
from foretaste.workflow.confirm import check_trainable
from foretaste.workflow.ensemble import without_params
from foretaste.workflow.fit import fit
from foretaste.workflow.imports import folders_of
from foretaste.workflow.judge import with_statistics
from foretaste.workflow.methods import METHODS
from foretaste.workflow.preview import named_by, ready
from foretaste.workflow.runs import jointly
from foretaste.workflow.session import Session

__all__ = ["EXPORTS", "check_target", "export", "kept_by"]


def export(session: Session, target: Path, weights: TaskWeights, method: str, *, overwrite: bool = False) -> dict[str, object]:
    """Write a model as its source keeps models: a transformers checkpoint, or a safetensors file.

    Args:
        session: The recipe at work.
        target: A folder that does not exist yet.
        weights: alpha.
        method: A preview method, or ``joint`` for the joint run, which is made if it is not there.
        overwrite: Whether a folder that foretaste wrote is replaced, when the new one is complete; never one that the study needs.

    Returns:
        Where the params come from, which is also kept beside them in ``foretaste.json``.

    Raises:
        RecipeError: A preview method without params.
        StorageError: The folder exists, or the disk refuses.

    >>> import tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), Path(folder, "study"))
    ...     with session.study:
    ...         found = export(session, Path(folder, "out"), uniform(session.problem.names), "simple")
    ...     found["method"], sorted(path.name for path in Path(folder, "out").iterdir())
    ('simple', ['foretaste.json', 'model.safetensors'])
    """
    if method in METHODS and not METHODS[method].merges:
        raise without_params(method)
    model, needed = session.problem.model, sum(t.numel() * t.element_size() for t in tensors_of(session.problem.model).values())
    with new_folder(target, needed, overwrite=overwrite, keep=kept_by(session, target)) as folder:
        params, made_of = _joint(session, weights) if method == "joint" else _preview(session, weights, method)
        facts = {
            "at": str(weights),
            "weights": dict(weights.items()),
            "method": method,
            **made_of,
            "study": session.recipe.name,
            "pretrained": session.base,
            "data": session.data,
            "seed": session.recipe.seed,
            "version": f"foretaste {__version__}",
        }
        with swapped(model, params):
            session.problem.save(model, folder)
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def check_target(session: Session, target: Path, *, overwrite: bool = False) -> None:
    """Look whether an export may be written to a folder, before there is any work for it.

    Args:
        session: The recipe at work.
        target: The folder to be.
        overwrite: Whether one that foretaste wrote may be replaced.

    Raises:
        StorageError: It may not.
    """
    check_folder(target, overwrite=overwrite, keep=kept_by(session, target))


def kept_by(session: Session, target: Path) -> dict[str, Path]:
    """What an export must not replace: the study, the model, the data, imported experts; by what they are.

    Args:
        session: The recipe at work.
        target: The folder to be; in the study's own folder of exports it may be.
    """
    study, model = session.study.path, session.recipe.model
    own = resolved(target).parent.is_relative_to(resolved(study / EXPORTS))
    found = {} if own else {"the study's folder": study}
    if isinstance(model, TransformersModel):
        found["the recipe's model"] = Path(model.path)
    for task, data in session.recipe.tasks.items():
        found |= {
            f"the {part} data of task {task!r}": Path(path) for part, path in (("training", data.train), ("validation", data.validation))
        }
    found |= folders_of(session.study)
    return {what: path for what, path in found.items() if path.exists()}


def _joint(session: Session, weights: TaskWeights) -> tuple[Params, Mapping[str, object]]:
    check_trainable(session, [weights])
    study = session.study
    if not any(done.inputs["weights"] == weights.key and study.find(done.key) for done in study.all_work("joint")):
        session.watch.say(f"no joint run at {weights} yet: training one, {session.joint_training.steps} steps")
    session.watch.begin("joint finetuning", session.joint_training.steps)
    run = jointly(session, weights)
    return study.tensors(run.artefact), {"params": run.artefact, "training": run.inputs["training"]}


def _preview(session: Session, weights: TaskWeights, method: str) -> tuple[Params, Mapping[str, object]]:
    sites, merged = ready(session, fit(session), method)
    params = with_statistics(session, merged.merge(weights).params, weights)
    named = named_by(session, method, sites, merged, weights)
    return params, {name: value for name, value in named.items() if name not in ("method", "weights")}
