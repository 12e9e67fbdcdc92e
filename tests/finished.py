"""Finished work of a study, for tests."""

from foretaste.posterior.site import GaussianSite
from foretaste.store.study import Done
from foretaste.task import Task
from foretaste.weights import TaskWeights
from foretaste.work.curvature import task_curvature
from foretaste.work.runs import JointRun, SingleTaskRun, single_task_run
from foretaste.workflow.session import Session

__all__ = ["finetuned", "jointly", "run_artefacts", "site_at"]


def finetuned(session: Session, task: Task, member: int = 0) -> Done:
    """One of a task's runs."""
    work = SingleTaskRun(task.name, member) if member else single_task_run(session, task.name)
    session.finish([work])
    return work.done(session)


def run_artefacts(session: Session, task: str, count: int = 2) -> list[str]:
    """The hashes of the params of a task's first runs."""
    return [str(finetuned(session, session.task(task), member).artefact) for member in range(count)]


def jointly(session: Session, weights: TaskWeights) -> Done:
    """The joint run at some weights."""
    return session.finish([JointRun(weights)])[0].done


def site_at(session: Session, task: str) -> GaussianSite:
    """A task's diagonal site."""
    work = task_curvature(session, task)
    session.finish([work])
    return work.site(session)
