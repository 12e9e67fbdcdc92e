"""Preview: merge the tasks' sites for any weights and evaluate what comes out."""

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from foretaste.engine import do_evaluation
from foretaste.evaluate import Result, evaluate
from foretaste.merge import Preview, merge
from foretaste.params import Params, parameters_of, snapshot
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite, Site
from foretaste.task import Evaluation, Fidelity
from foretaste.train.batch_norm import has_batch_norm, reestimated
from foretaste.train.mixture import predict_alike
from foretaste.weights import TaskWeights
from foretaste.workflow.fit import Fitted, prior_precision
from foretaste.workflow.session import Session

__all__ = ["judged_by", "preview", "row", "sites_for"]


def sites_for(method: str, fitted: Mapping[str, Fitted]) -> dict[str, Site]:
    """The tasks' sites as a preview method sees them.

    ``simple`` takes every posterior to be isotropic; ``diagonal`` keeps the estimated curvature.

    >>> from foretaste.store.study import Done
    >>> site = GaussianSite.flat({"w": torch.zeros(2)}, {})
    >>> fitted = {"a": Fitted(Done("key", "finetune", {}, {}, None, 0.1), site, ("", ""))}
    >>> sites_for("diagonal", fitted)["a"] is site, sites_for("simple", fitted)["a"] is site
    (True, False)
    """
    if method == "simple":
        return {task: GaussianSite.flat(each.curved.center, each.curved.carried) for task, each in fitted.items()}
    return {task: each.curved for task, each in fitted.items()}


def preview(session: Session, fitted: Mapping[str, Fitted], methods: Sequence[str], points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Merge and evaluate every weighting by every method.

    Args:
        session: The recipe at work.
        fitted: Every task's site.
        methods: ``simple``, ``diagonal``.
        points: Weightings.

    Returns:
        The rows, method by method.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.fit import fit
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         rows = preview(session, fit(session), ["diagonal"], [uniform(session.problem.names)])
    >>> [(row.method, str(row.weights)) for row in rows]
    [('diagonal', 'low=0.333333333,mid=0.333333333,high=0.333333333')]
    """
    session.watch.begin("previews", len(methods) * len(points))
    delta = prior_precision(session.recipe, fitted)
    prior = Gaussian(snapshot(parameters_of(session.problem.model)), Isotropic(delta))
    rows = []
    for method in methods:
        sites = sites_for(method, fitted)
        for weights in points:
            rows.append(_previewed(session, fitted, prior, method, sites, weights))
            session.watch.advance(1, f"{method} {weights}")
    return rows


def _previewed(
    session: Session, fitted: Mapping[str, Fitted], prior: Gaussian, method: str, sites: Mapping[str, Site], weights: TaskWeights
) -> Evaluation:
    def make() -> tuple[Evaluation, Params]:
        start = time.perf_counter()
        params = _with_statistics(session, merge(prior, sites, weights))
        return row(session, params, weights, Fidelity.PREVIEW, method, start)

    used = {task: each.artefacts[:1] if method == "simple" else each.artefacts for task, each in fitted.items()}
    inputs: dict[str, object] = {"method": method, "sites": {task: list(hashes) for task, hashes in used.items()}, "weights": weights.key}
    if method != "simple":
        assert isinstance(prior.precision, Isotropic)
        inputs["prior_precision"] = prior.precision.scale
    if _reestimates(session):
        inputs["batch_norm"] = "reestimate"
    return do_evaluation(session.study, {**inputs, **judged_by(session)}, make, session.watch)


def _with_statistics(session: Session, found: Preview) -> Params:
    """The preview's params; inside the simplex with batch-norm statistics of their own, unless these are to be averaged."""
    if found.weights.corner is not None or not _reestimates(session):
        return found.params
    generator = torch.Generator().manual_seed(session.recipe.seed)
    return reestimated(session.problem.model, found.params, session.problem.tasks, found.weights, generator=generator)


def _reestimates(session: Session) -> bool:
    """Whether previews get batch-norm statistics of their own: where there are any, and training changes them too."""
    recipe, problem = session.recipe, session.problem
    wanted = recipe.preview.batch_norm == "reestimate" and recipe.finetune.batch_norm == "update"
    return wanted and has_batch_norm(problem.model) and predict_alike(problem.tasks)


def judged_by(session: Session) -> dict[str, object]:
    """What every evaluation depends on beside its params.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         judged_by(session)["metrics"]
    {'low': ['accuracy'], 'mid': ['accuracy'], 'high': ['accuracy']}
    """
    metrics = {task.name: [metric.name for metric in task.metrics] for task in session.problem.tasks}
    return {"base": session.base, "data": session.data, "metrics": metrics}


def row(
    session: Session, params: Params, weights: TaskWeights, fidelity: Fidelity, method: str, start: float, spent: float = 0.0
) -> tuple[Evaluation, Params]:
    """Evaluate params on every task: a row, and the results per example.

    Args:
        session: The recipe at work.
        params: To evaluate.
        weights: alpha.
        fidelity: How the params were made.
        method: By which posterior, or ``joint``.
        start: When work on this row began.
        spent: Seconds spent on it before.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     own, weights = parameters_of(session.problem.model), uniform(session.problem.names)
    ...     with session.study:
    ...         found, each = row(session, own, weights, Fidelity.PREVIEW, "simple", time.perf_counter())
    >>> sorted(found.metrics["low"]), each["low/losses"].shape
    (['accuracy', 'loss'], torch.Size([398]))
    """
    results = evaluate(session.problem.model, params, session.problem.tasks, batch_size=session.recipe.preview.batch_size)
    metrics = {task: result.metrics for task, result in results.items()}
    cost = spent + time.perf_counter() - start
    return Evaluation(weights, metrics, fidelity, method, session.recipe.seed, cost), _per_example(results)


def _per_example(results: Mapping[str, Result]) -> dict[str, Tensor]:
    found = {}
    for task, result in results.items():
        found[f"{task}/losses"], found[f"{task}/predicted"] = result.losses, result.predicted.to(torch.int32)
    return found
