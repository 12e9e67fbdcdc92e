"""The methods with a curvature of one run: diagonal, Kronecker, and the better one corrected by what one joint run shows."""

import functools
from collections.abc import Mapping
from dataclasses import asdict, replace

from foretaste.merge import corrected
from foretaste.posterior.precision import Stop
from foretaste.weights import uniform
from foretaste.workflow.fit import Fitted, examples_of, kronecker_at
from foretaste.workflow.judge import objective
from foretaste.workflow.made import Known, Made
from foretaste.workflow.runs import jointly
from foretaste.workflow.session import Session
from foretaste.workflow.tune import around, chosen, tuned_precision

__all__ = ["anchored", "diagonal", "kronecker"]

# On digits the error of previews was .075 at a tolerance of 1e-2 (43 steps on average), .071 at 1e-3 (123), .072 exactly.
_STOP = Stop(3e-3, steps=100)


def kronecker(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Every task's Kronecker site, each in a basis of its own; their sums are solved by conjugate gradients.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    session.watch.begin("Kronecker curvature", sum(examples_of(session, task) for task in session.problem.tasks))
    found = {task.name: kronecker_at(session, task, fitted[task.name].run) for task in session.problem.tasks}
    works = {task: (each.run, found[task][0]) for task, each in fitted.items()}
    return Made(works, lambda prior: {task: site for task, (_, site) in found.items()}, stop=_STOP, options={"stop": asdict(_STOP)})


def diagonal(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Every task's first run with its diagonal curvature.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    return Made({task: each.works for task, each in fitted.items()}, lambda prior: {task: each.curved for task, each in fitted.items()})


def anchored(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """The better of these previews, moved by what the joint run of uniform weights shows merging to be off by.

    Which is better, and how far the correction is carried, is chosen on validation loss
    (`foretaste.workflow.judge.objective`); no trust at all is among the choices, so that there it is never
    worse than the previews it starts from.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    own, weights = _better(session, fitted), uniform(session.problem.names)
    session.watch.begin("joint finetuning at uniform weights", session.joint_training.steps)
    run = jointly(session, weights)
    joint = session.study.tensors(run.artefact)
    own = own.resting_on(run)
    assert own.precision is not None
    merged = functools.cache(own.under(around(session, own.precision)).merge)

    def loss(trust: float) -> float:
        return objective(session, lambda at: corrected(merged(at), merged(weights), joint, trust).params)

    inputs = {"sites": own.artefacts, "prior_precision": own.precision, **own.options}
    done = chosen(session, "trust in the joint run", inputs, loss, (0.0, 1.0), also=(0.0, 0.5, 1.0))
    return own.knowing(Known(weights, joint, done.result["value"])).resting_on(done)


def _better(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Kronecker or diagonal, whichever has the lower validation loss under its own prior; Kronecker under a fixed one."""
    found = {"kronecker": kronecker(session, fitted), "diagonal": diagonal(session, fitted)}
    tuned = {name: tuned_precision(session, fitted, name, each) for name, each in found.items()}
    losses = {name: done.result["loss"] for name, (_, done) in tuned.items() if done is not None}
    best = min(losses, key=lambda name: losses[name], default="kronecker")
    works = {task: tuple(work for each in found.values() for work in each.works[task]) for task in fitted}
    own = replace(found[best], works=works, precision=tuned[best][0], options={**found[best].options, "curvature": best})
    return functools.reduce(lambda made, done: made.resting_on(done), [done for _, done in tuned.values() if done is not None], own)
