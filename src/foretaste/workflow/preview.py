"""Preview: merge the tasks' sites for any weights and evaluate what comes out."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

import torch

from foretaste.engine import do_evaluations, stop_if_asked
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.params import Params, buffers_of, tensors_of
from foretaste.posterior.isotropic import Isotropic
from foretaste.remembered import Memory
from foretaste.together import at_once, evaluate_each
from foretaste.weights import TaskWeights
from foretaste.workflow.ensemble import mixed, without_params
from foretaste.workflow.fit import Fitted
from foretaste.workflow.judge import at_precision, judged_by, made_row, per_example, reestimates, with_statistics
from foretaste.workflow.made import Made, Ready
from foretaste.workflow.methods import METHODS, check_methods, made
from foretaste.workflow.resident import resident
from foretaste.workflow.session import Session
from foretaste.workflow.tune import around, tuned_precision

__all__ = ["memory_of", "named_by", "prepared", "preview", "ready"]


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
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
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
    sites, merged = ready(session, fitted, method)
    merged = resident(session, merged)
    session.watch.begin(f"previews by {method}", len(points))
    memory = memory_of(session, merged)
    return do_evaluations(
        session.study,
        [{**named_by(session, method, sites, merged, weights), **judged_by(session)} for weights in points],
        lambda places: _previewed(session, method, merged, [points[place] for place in places], memory),
        session.watch,
        at_once=at_once(session.problem.model, session.problem.tasks),
        on_row=lambda place: session.watch.advance(1, str(points[place])),
    )


def _previewed(
    session: Session, method: str, merged: Ready, points: Sequence[TaskWeights], memory: Memory
) -> list[tuple[Evaluation, Params]]:
    """Rows of some weightings, evaluated together: each costs what its merge did, and its share of the rest."""
    many, seconds = [], []
    for weights in points:
        start = time.perf_counter()
        many.append(with_statistics(session, merged.merge(weights).params, weights))
        seconds.append(time.perf_counter() - start)
    start, problem = time.perf_counter(), session.problem
    size, on_batch = session.recipe.preview.batch_size, partial(stop_if_asked, session.watch)
    with memory.at_work(), at_precision(session):
        found = evaluate_each(problem.model, many, problem.tasks, batch_size=size, on_batch=on_batch)
    share = (time.perf_counter() - start) / len(points)
    return [
        (made_row(session, results, weights, Fidelity.PREVIEW, method, own + share), per_example(results))
        for results, weights, own in zip(found, points, seconds, strict=True)
    ]


def memory_of(session: Session, merged: Ready) -> Memory:
    """For evaluating previews one after the other: of the modules that all of them share, such as those that training froze.

    Of none where previews are evaluated together anyway, or where a model writes or is judged, which is no pass over the data.

    Args:
        session: The recipe at work.
        merged: Gives the previews.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.fit import fit
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         memory_of(session, ready(session, fit(session), "simple")[1]).modules
    []
    """
    model, tasks = session.problem.model, session.problem.tasks
    if at_once(model, tasks) > 1 or any(task.writes or task.judged for task in tasks):
        return Memory(model, tensors_of(model))
    own, moves = buffers_of(model), reestimates(session)
    runs = [site.buffers for site in merged.sites.values()] + ([] if merged.known is None else [merged.known.joint])
    moved = {name for run in runs for name in own if name in run and (moves or not torch.equal(run[name], own[name].to(run[name].device)))}
    return Memory(model, session.problem.trained | moved)


def prepared(session: Session, fitted: Mapping[str, Fitted], method: str) -> Made:
    """All that a method needs before its first preview.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.fit import fit
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
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
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
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


def named_by(session: Session, method: str, sites: Made, merged: Ready, weights: TaskWeights) -> dict[str, object]:
    """What a preview's params depend on.

    Args:
        session: The recipe at work.
        method: The method's name.
        sites: Its sites.
        merged: The same under a prior.
        weights: alpha.

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
