"""Preview: merge the tasks' sites for any weights and evaluate what comes out."""

import time
from collections.abc import Mapping, Sequence

from foretaste.engine import do_evaluation
from foretaste.params import Params
from foretaste.posterior.isotropic import Isotropic
from foretaste.task import Evaluation, Fidelity
from foretaste.weights import TaskWeights
from foretaste.workflow.ensemble import mixed, without_params
from foretaste.workflow.fit import Fitted
from foretaste.workflow.judge import judged_by, reestimates, row, with_statistics
from foretaste.workflow.made import Made, Ready
from foretaste.workflow.methods import METHODS, check_methods, made
from foretaste.workflow.session import Session
from foretaste.workflow.tune import around, tuned_precision

__all__ = ["named_by", "prepared", "preview", "ready"]


def preview(session: Session, fitted: Mapping[str, Fitted], methods: Sequence[str], points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Merge and evaluate every weighting by every method; where a method merges nothing, mix what the tasks' models say.

    Args:
        session: The recipe at work.
        fitted: Every task's site.
        methods: Names in `METHODS`.
        points: Weightings.

    Returns:
        The rows, method by method.

    Raises:
        TaskError: See `check_methods`.

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
    check_methods(methods, session.problem.tasks)
    return [row for method in methods for row in _rows(session, fitted, method, points)]


def _rows(session: Session, fitted: Mapping[str, Fitted], method: str, points: Sequence[TaskWeights]) -> list[Evaluation]:
    if not METHODS[method].merges:
        outputs = made(session, fitted, method)
        session.watch.begin(f"previews by {method}", len(points))
        return mixed(session, method, outputs, points)
    rows = []
    sites, merged = ready(session, fitted, method)
    session.watch.begin(f"previews by {method}", len(points))
    for weights in points:
        rows.append(_previewed(session, method, sites, merged, weights))
        session.watch.advance(1, str(weights))
    return rows


def prepared(session: Session, fitted: Mapping[str, Fitted], method: str) -> Made:
    """All that a method needs before its first preview.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.fit import fit
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         [work.kind for work in prepared(session, fit(session), "ensemble").works["low"]]
    ['finetune', 'outputs']
    """
    return ready(session, fitted, method)[0] if METHODS[method].merges else made(session, fitted, method)


def ready(session: Session, fitted: Mapping[str, Fitted], method: str) -> tuple[Made, Ready]:
    """A method's sites, and the same under the prior that suits them.

    Raises:
        RecipeError: A method without params.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.fit import fit
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         ready(session, fit(session), "simple")[1].merge(uniform(session.problem.names)).converged
    True
    """
    if not METHODS[method].merges:
        raise without_params(method)
    found = made(session, fitted, method)
    precision = found.precision
    if precision is None and METHODS[method].curved:
        precision, done = tuned_precision(session, fitted, method, found)
        found = found if done is None else found.resting_on(done)
    return found, found.under(around(session, precision or 1.0))  # without curvature any prior gives the same preview


def _previewed(session: Session, method: str, sites: Made, merged: Ready, weights: TaskWeights) -> Evaluation:
    def make() -> tuple[Evaluation, Params]:
        start = time.perf_counter()
        params = with_statistics(session, merged.merge(weights).params, weights)
        return row(session, params, weights, Fidelity.PREVIEW, method, start)

    return do_evaluation(session.study, {**named_by(session, method, sites, merged, weights), **judged_by(session)}, make, session.watch)


def named_by(session: Session, method: str, sites: Made, merged: Ready, weights: TaskWeights) -> dict[str, object]:
    """What a preview's params depend on.

    Args:
        session: The recipe at work.
        method: The method's name.
        sites: Its sites.
        merged: The same under a prior.
        weights: alpha.

    >>> import torch
    >>> from foretaste.posterior.gaussian import Gaussian
    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> recipe = parse("{name: a, model: {source: digits}}")
    >>> session = Session(None, recipe, digits(), "base", None)
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(0.5))
    >>> named_by(session, "diagonal", Made({}, lambda prior: {}), Ready(prior, {}), TaskWeights(["a"], [1.0]))["prior_precision"]
    0.5
    """
    inputs: dict[str, object] = {"method": method, "sites": sites.artefacts, "weights": weights.key, **sites.options}
    if METHODS[method].curved:
        assert isinstance(merged.prior.precision, Isotropic)
        inputs["prior_precision"] = merged.prior.precision.scale
    if reestimates(session):
        inputs["batch_norm"] = "reestimate"
    return inputs
