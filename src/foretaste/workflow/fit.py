"""Fit: train every task on its own, then estimate its curvature there."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from foretaste.engine import do, do_training, stop_if_asked
from foretaste.estimate.fisher import fisher
from foretaste.params import Params, parameters_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.recipe import Recipe
from foretaste.store.study import Done
from foretaste.task import Task
from foretaste.train.finetune import finetune
from foretaste.workflow.session import Session

__all__ = ["Fitted", "fit", "prior_precision"]


@dataclass(frozen=True)
class Fitted:
    """What one task's training and curvature gave.

    Args:
        run: The finished training.
        curved: The site with curvature.
        artefacts: Hashes of params and curvature.
    """

    run: Done
    curved: GaussianSite
    artefacts: tuple[str, str]


def fit(session: Session) -> dict[str, Fitted]:
    """Train every task on its own and estimate its curvature there.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}, curvature: {max_examples: 20}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         {task: found.curved.record.examples for task, found in fit(session).items()}
    {'low': 20, 'mid': 20, 'high': 20}
    """
    tasks, watch = session.problem.tasks, session.watch
    watch.begin("single-task finetuning", len(tasks) * session.training.steps)
    runs = {task.name: _finetuned(session, task) for task in tasks}
    watch.begin("curvature", sum(_examples(session, task) for task in tasks))
    return {task.name: _curved(session, task, runs[task.name]) for task in tasks}


def _finetuned(session: Session, task: Task) -> Done:
    model, training = session.problem.model, session.training
    inputs = {"base": session.base, "task": [task.name, task.fingerprint], "training": asdict(training)}
    return do_training(
        session.study,
        "finetune",
        inputs,
        lambda begin, observer: finetune(model, None, task, training, start=begin, observer=observer),
        session.watch,
        training.steps,
        session.recipe.snapshot_seconds,
    )


def _curved(session: Session, task: Task, run: Done) -> Fitted:
    model, plan = session.problem.model, session.recipe.curvature
    params = session.study.tensors(run.artefact)

    seen = 0

    def on_batch(examples: int) -> None:
        nonlocal seen
        session.watch.advance(examples - seen, task.name)
        seen = examples
        stop_if_asked(session.watch)

    def make() -> tuple[dict[str, object], Params]:
        generator = torch.Generator().manual_seed(session.recipe.seed)
        site = fisher(
            model,
            params,
            task,
            generator=generator,
            labels=plan.labels,
            max_examples=plan.max_examples,
            batch_size=plan.batch_size,
            on_batch=on_batch,
        )
        return asdict(site.record), site.precision.to_tensors()

    inputs = {"params": run.artefact, "task": [task.name, task.fingerprint], "curvature": plan.model_dump(), "seed": session.recipe.seed}
    done = do(session.study, "site", inputs, make, session.watch)
    session.watch.advance(_examples(session, task) - seen)
    own = parameters_of(model, task.names)
    center, carried = {name: params[name] for name in own}, {name: params[name] for name in params if name not in own}
    site = GaussianSite(center, Diagonal.from_tensors(session.study.tensors(done.artefact)), None, carried, Record(**done.result))
    return Fitted(run, site, (str(run.artefact), str(done.artefact)))


def _examples(session: Session, task: Task) -> int:
    return min(len(task.train), session.recipe.curvature.max_examples or len(task.train))


def prior_precision(recipe: Recipe, fitted: Mapping[str, Fitted]) -> float:
    """The merge's delta: as the recipe says, or the mean curvature over all tasks' entries.

    >>> from foretaste.recipe import parse
    >>> prior_precision(parse("{name: a, model: {source: digits}, preview: {prior_precision: 0.01}}"), {})
    0.01
    """
    if recipe.preview.prior_precision != "mean":
        return float(recipe.preview.prior_precision)
    entries = [tensor for each in fitted.values() for tensor in each.curved.precision.to_tensors().values()]
    total = sum(float(tensor.double().sum()) for tensor in entries)
    return max(total / sum(tensor.numel() for tensor in entries), 1e-12)
