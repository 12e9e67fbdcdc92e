"""Fit: train every task on its own, then estimate its curvature there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from foretaste.engine import do, stop_if_asked
from foretaste.errors import StudyError
from foretaste.estimate.estimators import EstimatePlan, Estimator, estimate_site
from foretaste.one_line import one_line
from foretaste.params import Params, parameters_of
from foretaste.plan import Recipe
from foretaste.posterior.site import GaussianSite
from foretaste.posterior.site_form import facts_of, site_from, tensors_of
from foretaste.sources.problem import Problem
from foretaste.store.study import Done, Study
from foretaste.task import Task
from foretaste.workflow.experts import brought, curvature_of, forget_curvature
from foretaste.workflow.runs import finetuned
from foretaste.workflow.session import Session

__all__ = ["Fitted", "Reported", "curved", "estimated", "examples_of", "fit", "kronecker_at", "prior_precision", "require_models"]

Reported = Callable[[int], None]


@dataclass(frozen=True)
class Fitted:
    """What one task's training and curvature gave.

    Args:
        run: The finished training.
        curved: The site with curvature.
        artefacts: Hashes of params and curvature.
        site: The finished estimate.
    """

    run: Done
    curved: GaussianSite
    artefacts: tuple[str, str]
    site: Done | None = None

    __repr__ = one_line

    @property
    def works(self) -> tuple[Done, ...]:
        """The finished work that the site rests on."""
        return (self.run,) if self.site is None else (self.run, self.site)


def fit(session: Session, *, only_estimate: bool = False) -> dict[str, Fitted]:
    """Train every task on its own, or take the model that was imported for it, and estimate its diagonal curvature there.

    Args:
        session: The recipe at work.
        only_estimate: Whether nothing is trained, and curvature that came with imported models is made anew.

    Raises:
        StudyError: Nothing may be trained, and a task has no model.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}, curvature: {max_examples: 20}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         {task: found.curved.record.examples for task, found in fit(session).items()}
    {'low': 20, 'mid': 20, 'high': 20}
    """
    tasks, watch = session.problem.tasks, session.watch
    if only_estimate:
        require_models(session.problem, session.study.path)
        forget_curvature(session.study)
    watch.begin("single-task finetuning", len(tasks) * session.training.steps)
    runs = {task.name: finetuned(session, task) for task in tasks}
    watch.begin("curvature", sum(examples_of(session, task) for task in tasks))
    return {task.name: curved(session, task, runs[task.name]) for task in tasks}


def require_models(problem: Problem, folder: Path) -> None:
    """Look whether every task's model is in a study already.

    Args:
        problem: Has the tasks.
        folder: The study's, which need not be there.

    Raises:
        StudyError: Some are not.
    """
    there: set[object] = set()
    if Study.exists(folder):
        with Study.open(folder) as study:
            there = {*brought(study), *(tuple(done.inputs["task"]) for done in study.all_work("finetune"))}
    lacking = [task.name for task in problem.tasks if not there & {task.name, (task.name, task.identity)}]
    if lacking:
        raise StudyError(
            f"no model is there yet of {', '.join(lacking)}; import it (foretaste import {folder} "
            f"--task {lacking[0]}=FOLDER), or leave out --estimate and it is trained"
        )


def curved(session: Session, task: Task, run: Done) -> Fitted:
    """A run with its diagonal curvature.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}, curvature: {max_examples: 20}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     task = session.problem.tasks[0]
    ...     with session.study:
    ...         curved(session, task, finetuned(session, task)).curved.precision.structure
    'diagonal'
    """
    known = brought(session.study).get(task.name)
    own = known.site if known and run.inputs.get("import") == known.digest else None

    def make(params: Params, on_batch: Reported) -> GaussianSite:
        if known and own:
            return curvature_of(session, task, known, params)
        return estimate_site(session.problem.model, params, task, _plan(session, "fisher"), on_batch)

    done, site = estimated(session, task, run, {"site file": own} if own else {}, make)
    return Fitted(run, site, (str(run.artefact), str(done.artefact)), done)


def kronecker_at(session: Session, task: Task, run: Done, *, gradient: bool = False) -> tuple[Done, GaussianSite]:
    """A task's Kronecker site at a run's params, found or made.

    Args:
        session: The recipe at work.
        task: Whose site it is.
        run: The task's own run, or a joint one.
        gradient: Whether the site has the loss's gradient there, as one at a joint run needs.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}, curvature: {max_examples: 20}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     task = session.problem.tasks[0]
    ...     with session.study:
    ...         kronecker_at(session, task, finetuned(session, task))[1].precision.structure
    'kronecker'
    """

    def make(params: Params, on_batch: Reported) -> GaussianSite:
        return estimate_site(session.problem.model, params, task, _plan(session, "kfac", gradient=gradient), on_batch)

    return estimated(session, task, run, {"estimator": "kfac", "gradient": gradient}, make)


def estimated(
    session: Session, task: Task, run: Done, inputs: Mapping[str, object], make: Callable[[Params, Reported], GaussianSite]
) -> tuple[Done, GaussianSite]:
    """A site at a run's params, found or made, and kept.

    Args:
        session: The recipe at work.
        task: Whose site it is.
        run: A single-task or joint run; the site is taken at its params.
        inputs: What the site depends on beside the run, the task, the recipe's curvature and the seed.
        make: From the params; is given what to call with the count of examples seen.

    >>> import pathlib, tempfile
    >>> from foretaste.posterior.diagonal import Diagonal
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     task = session.problem.tasks[0]
    ...     with session.study:
    ...         make = lambda params, seen: GaussianSite(params, Diagonal({name: tensor * 0 for name, tensor in params.items()}))
    ...         estimated(session, task, finetuned(session, task), {"estimator": "none at all"}, make)[0].kind
    'site'
    """
    model, plan = session.problem.model, session.recipe.curvature
    params, seen = session.study.tensors(run.artefact), 0

    def on_batch(examples: int) -> None:
        nonlocal seen
        session.watch.advance(examples - seen, task.name)
        seen = examples
        stop_if_asked(session.watch)

    def kept() -> tuple[dict[str, object], Params]:
        site = make(params, on_batch)
        return facts_of(site), tensors_of(site)

    depends = {"params": run.artefact, "task": [task.name, task.identity], "curvature": plan.model_dump(), "seed": session.recipe.seed}
    done = do(session.study, "site", {**depends, **inputs}, kept, session.watch)
    session.watch.advance(examples_of(session, task) - seen)
    own = parameters_of(model, task.names)
    carried = {name: params[name] for name in params if name not in parameters_of(model)}
    return done, site_from(done.result, session.study.tensors(done.artefact), {name: params[name] for name in own}, carried)


def _plan(session: Session, estimator: Estimator, *, gradient: bool = False) -> EstimatePlan:
    """The recipe's plan for curvature, with its seed."""
    plan = session.recipe.curvature
    return EstimatePlan(estimator, plan.labels, plan.max_examples, plan.batch_size, session.recipe.seed, gradient)


def examples_of(session: Session, task: Task) -> int:
    """How many examples a task's curvature is estimated on."""
    return min(len(task.train), session.recipe.curvature.max_examples or len(task.train))


def prior_precision(recipe: Recipe, fitted: Mapping[str, Fitted]) -> float:
    """The merge's delta where it is not searched: as the recipe says, or the mean curvature over all tasks' entries.

    >>> from foretaste.recipe import parse
    >>> prior_precision(parse("{name: a, model: {source: digits}, preview: {prior_precision: 0.01}}"), {})
    0.01
    """
    if not isinstance(recipe.preview.prior_precision, str):
        return float(recipe.preview.prior_precision)
    entries = [tensor for each in fitted.values() for tensor in each.curved.precision.to_tensors().values()]
    total = sum(float(tensor.double().sum()) for tensor in entries)
    return max(total / sum(tensor.numel() for tensor in entries), 1e-12)
