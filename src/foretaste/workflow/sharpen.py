"""Sharpen: a few joint steps from a preview, evaluated as a fidelity of its own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from foretaste.engine import do_evaluation
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.params import Params
from foretaste.train.joint import joint
from foretaste.train.sharpen import sharpen
from foretaste.weights import TaskWeights
from foretaste.workflow.confirm import check_trainable
from foretaste.workflow.fit import Fitted
from foretaste.workflow.judge import judged_by, row, with_statistics
from foretaste.workflow.preview import named_by, ready
from foretaste.workflow.session import Session

__all__ = ["cut", "sharpened"]


def sharpened(session: Session, fitted: Mapping[str, Fitted], method: str, steps: int, points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Preview every weighting, train on for a few joint steps, evaluate.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
        method: Of the previews.
        steps: Joint steps from each.
        points: Weightings.

    Returns:
        The rows; their method is named ``METHOD+STEPS``, their cost holds the steps.

    Raises:
        WeightsError: A task with a head of its own has no weight.
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
    ...         rows = sharpened(session, fit(session), "simple", 2, [uniform(session.problem.names)])
    >>> rows[0].method, str(rows[0].fidelity)
    ('simple+2', 'sharpened')
    """
    check_trainable(session.problem, points)
    sites, merged = ready(session, fitted, method)
    session.watch.begin(f"previews by {method}, {steps} joint steps each", len(points))
    training, problem, realise = session.joint_training, session.problem, session.recipe.joint.realise
    rows = []
    for weights in points:

        def make(weights: TaskWeights = weights) -> tuple[Evaluation, Params]:
            start = time.perf_counter()
            params = with_statistics(session, merged.merge(weights).params, weights)
            run = sharpen(problem.model, None, params, problem.tasks, weights, training, steps=steps, realise=realise)
            return row(session, run.params, weights, Fidelity.SHARPENED, f"{method}+{steps}", start)

        inputs = named_by(session, method, sites, merged, weights) | {"sharpened": steps, "training": asdict(training), "realise": realise}
        rows.append(do_evaluation(session.study, {**inputs, **judged_by(session)}, make, session.watch))
        session.watch.advance(1, str(weights))
    return rows


def cut(session: Session, steps: int, points: Sequence[TaskWeights]) -> list[Evaluation]:
    """What the same number of steps gives without a preview: joint finetuning cut short, from the pretrained params.

    The rival of every preview at the same cost per weighting, and it needs no single-task run.

    Args:
        session: The recipe at work.
        steps: Of each run; its learning rate rises and falls within them.
        points: Weightings.

    Returns:
        The rows; their method is named ``pretrained+STEPS``.

    Raises:
        WeightsError: A task with a head of its own has no weight.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         [row.method for row in cut(session, 2, [uniform(session.problem.names)])]
    ['pretrained+2']
    """
    check_trainable(session.problem, points)
    session.watch.begin(f"joint finetuning cut to {steps} steps", len(points))
    training = replace(session.joint_training, steps=steps)
    problem, realise = session.problem, session.recipe.joint.realise
    rows = []
    for weights in points:

        def make(weights: TaskWeights = weights) -> tuple[Evaluation, Params]:
            start = time.perf_counter()
            run = joint(problem.model, None, problem.tasks, weights, training, realise=realise)
            return row(session, run.params, weights, Fidelity.SHARPENED, f"pretrained+{steps}", start)

        inputs = {"method": "pretrained", "weights": weights.key, "training": asdict(training), "realise": realise}
        rows.append(do_evaluation(session.study, {**inputs, **judged_by(session)}, make, session.watch))
        session.watch.advance(1, str(weights))
    return rows
