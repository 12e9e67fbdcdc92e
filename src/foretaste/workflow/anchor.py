"""The methods with Kronecker curvature: alone, and corrected by what one joint run shows about every task."""

import math
from collections.abc import Mapping

from foretaste.posterior.anchored import AnchoredSite
from foretaste.posterior.gaussian import Gaussian
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.fit import Fitted, examples_of, kronecker_at
from foretaste.workflow.judge import losses_of
from foretaste.workflow.made import Made
from foretaste.workflow.runs import jointly
from foretaste.workflow.session import Session
from foretaste.workflow.tune import around, chosen, tuned_precision

__all__ = ["anchored", "kronecker"]


def kronecker(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Every task's Kronecker site, each in a basis of its own; their sums are solved by conjugate gradients.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    session.watch.begin("Kronecker curvature", sum(examples_of(session, task) for task in session.problem.tasks))
    found = {task.name: kronecker_at(session, task, fitted[task.name].run) for task in session.problem.tasks}
    works = {task: (each.run, found[task][0]) for task, each in fitted.items()}
    return Made(works, lambda prior: {task: site for task, (_, site) in found.items()})


def anchored(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """The tasks' Kronecker sites, each with a second site at the params of the joint run of uniform weights.

    How far the second sites are trusted is chosen on validation loss at weightings between the
    joint run and the corners; no trust at all is among the choices, so that there they are never
    worse than not being used.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    own = kronecker(session, fitted)
    weights = uniform(session.problem.names)
    session.watch.begin("joint finetuning at uniform weights", session.joint_training.steps)
    run = jointly(session, weights)
    session.watch.begin("Kronecker curvature at the joint run", sum(examples_of(session, task) for task in session.problem.tasks))
    found = {task.name: kronecker_at(session, task, run, gradient=True) for task in session.problem.tasks}
    precision, _ = tuned_precision(session, fitted, "kronecker", own)

    def mixed(trust: float) -> Made:
        def sites(prior: Gaussian) -> dict[str, AnchoredSite]:
            return {task: AnchoredSite(site, found[task][1], trust) for task, site in own.sites(prior).items()}

        works = {task: (*parts, run, found[task][0]) for task, parts in own.works.items()}
        return Made(works, sites, start=own.sites, steps=1, options={"trust": trust})

    def loss(trust: float) -> float:
        ready = mixed(trust).under(around(session, precision))
        return math.fsum(_expected(session, ready.merge(point).params, point) for point in _between(session))

    inputs = {"what": "trust in the joint run", "sites": mixed(0.0).artefacts, "prior_precision": precision}
    session.watch.begin("trust in the joint run", 1)
    done = chosen(session, inputs, loss, (0.0, 1.0), also=(0.0, 1.0))
    session.watch.advance(1)
    return mixed(done.result["value"]).resting_on(done)


def _expected(session: Session, params: Mapping[str, object], weights: TaskWeights) -> float:
    """The joint objective at merged params: what a joint run at these weights would have lowest."""
    losses = losses_of(session, params, weights)  # type: ignore[arg-type]
    return math.fsum(weights[task] * loss for task, loss in losses.items())


def _between(session: Session) -> list[TaskWeights]:
    """Half-way from uniform weights to each corner; with heads of their own or not, every task has some weight there."""
    names = session.problem.names
    middle = uniform(names)
    return [TaskWeights(names, [(corner[name] + middle[name]) / 2 for name in names]) for corner in corners(names)]
