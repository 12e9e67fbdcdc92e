"""Preview methods: which posterior stands in for each task, and what it takes to make it.

One line of `METHODS` per method. A method makes every task's site from the tasks' runs; work that
several methods share (runs, factors, curvature) is done once and found in the study.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from foretaste.estimate.ensemble import ensemble, plain, weighted
from foretaste.estimate.secant import secant
from foretaste.one_line import one_line
from foretaste.outputs import check_mixable, is_mixable
from foretaste.params import Params
from foretaste.posterior.site import GaussianSite
from foretaste.store.study import Done
from foretaste.task import Task
from foretaste.workflow.anchor import anchored, diagonal, kronecker
from foretaste.workflow.ensemble import kept_outputs, without_params
from foretaste.workflow.fit import Fitted, Reported, curved, estimated
from foretaste.workflow.made import Made
from foretaste.workflow.runs import finetuned
from foretaste.workflow.session import Session
from foretaste.workflow.tune import around
from foretaste.workflow.variational import variational

__all__ = ["METHODS", "Method", "check_methods", "last_merging", "made", "with_controls"]

_EVEN = {"responsibilities": "even"}  # of the controls, wherever they are merged


@dataclass(frozen=True)
class Method:
    """A way to preview.

    Args:
        title: For tables and help.
        make: From the session and the tasks' first runs to sites.
        curved: Whether the prior's precision matters: without curvature it does not.
        trains: Whether it needs more single-task runs than one per task.
        control: Whether it is there to judge another method by.
        merges: Whether a preview has params; if not, it is a mixture of what the tasks' models say.
    """

    title: str
    make: Callable[[Session, Mapping[str, Fitted]], Made]
    curved: bool = True
    trains: bool = False
    control: bool = False
    merges: bool = True

    __repr__ = one_line

    def suits(self, tasks: Sequence[Task]) -> bool:
        """Whether it can preview these tasks: see `check_methods`."""
        return self.merges or is_mixable(tasks)


def check_methods(methods: Sequence[str], tasks: Sequence[Task]) -> None:
    """Check, before any work, that these methods can preview these tasks.

    Args:
        methods: Names in `METHODS`.
        tasks: The tasks.

    Raises:
        TaskError: One mixes what models say, and a task's headline metric does not follow from that.

    >>> check_methods(["simple", "ensemble"], [])
    """
    if not all(METHODS[method].merges for method in methods):
        check_mixable(tasks)


def last_merging(methods: Sequence[str]) -> str:
    """The last method whose previews have params.

    Args:
        methods: Names in `METHODS`, at least one.

    Raises:
        RecipeError: None has.

    >>> last_merging(["simple", "diagonal", "ensemble"])
    'diagonal'
    """
    found = [name for name in methods if METHODS[name].merges]
    if not found:
        raise without_params(methods[-1])
    return found[-1]


def made(session: Session, fitted: Mapping[str, Fitted], method: str) -> Made:
    """A method's sites.

    Args:
        session: The recipe at work.
        fitted: Every task's first run with its diagonal curvature.
        method: One of `METHODS`.

    >>> from foretaste.posterior.gaussian import Gaussian
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> site = GaussianSite.flat({"w": torch.zeros(2)}, {})
    >>> run = Done("key", "finetune", {}, {}, None, 0.1)
    >>> found = made(None, {"a": Fitted(run, site, ("", ""), run)}, "diagonal")
    >>> found.sites(Gaussian({"w": torch.zeros(2)}, Isotropic(1.0)))["a"] is site, found.seconds
    (True, 0.1)
    """
    return METHODS[method].make(session, fitted)


def with_controls(methods: Sequence[str]) -> list[str]:
    """The same methods, the controls beside a mixture: without them its gain may be that of averaging more runs.

    >>> with_controls(["simple", "mixture"])
    ['simple', 'mixture', 'average', 'weighted']
    """
    controls = [name for name, method in METHODS.items() if method.control]
    return list(dict.fromkeys(name for each in methods for name in ([each, *controls] if each == "mixture" else [each])))


def _simple(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    flat = {task: GaussianSite.flat(each.curved.center, each.curved.carried) for task, each in fitted.items()}
    return Made({task: (each.run,) for task, each in fitted.items()}, lambda prior: flat)


def _ensemble(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    simple = _simple(session, fitted)
    merged = cache(lambda: simple.under(around(session, 1.0)))
    return kept_outputs(session, simple, lambda corner: merged().merge(corner).params)


def _lowrank(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Secants between a task's runs; those to the pretrained params are too long to say much about the optimum."""
    plan = session.recipe.curvature

    def at(task: Task) -> tuple[Done, GaussianSite]:
        def make(params: Params, on_batch: Reported) -> GaussianSite:
            generator = torch.Generator().manual_seed(session.recipe.seed)
            checkpoints = [session.study.tensors(run.artefact) for run in others[task.name]]
            return secant(
                session.problem.model,
                params,
                task,
                checkpoints,
                generator=generator,
                on_batch=on_batch,
                labels=plan.labels,
                max_examples=plan.max_examples,
                batch_size=plan.batch_size,
            )

        inputs = {"estimator": "secant", "checkpoints": [run.artefact for run in others[task.name]]}
        return estimated(session, task, fitted[task.name].run, inputs, make)

    members = range(1, max(session.recipe.ensemble.members, 2))  # one other run at least
    others = {task.name: [finetuned(session, task, member) for member in members] for task in session.problem.tasks}
    found = {task.name: at(task) for task in session.problem.tasks}
    works = {task: (each.run, *others[task], found[task][0]) for task, each in fitted.items()}
    return Made(works, lambda prior: {task: site for task, (_, site) in found.items()})


def _members(session: Session, fitted: Mapping[str, Fitted]) -> dict[str, list[Fitted]]:
    """All runs of every task, each with its curvature."""
    tasks, count = session.problem.tasks, session.recipe.ensemble.members
    session.watch.begin("more runs per task", (count - 1) * len(tasks) * session.training.steps)
    runs = {task.name: [finetuned(session, task, member) for member in range(1, count)] for task in tasks}
    return {task.name: [fitted[task.name], *(curved(session, task, run) for run in runs[task.name])] for task in tasks}


def _mixture(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    runs, plan = _members(session, fitted), session.recipe.ensemble
    sites = {task: [each.curved for each in members] for task, members in runs.items()}
    return Made(
        {task: tuple(done for each in members for done in each.works) for task, members in runs.items()},
        lambda prior: {task: ensemble(prior, each, blocks=plan.blocks) for task, each in sites.items()},
        start=lambda prior: {task: weighted(prior, each) for task, each in sites.items()},
        temperatures=tuple(plan.temperatures),
        options={"ensemble": plan.model_dump()},
    )


def _weighted(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    runs = _members(session, fitted)
    sites = {task: [each.curved for each in members] for task, members in runs.items()}
    works = {task: tuple(done for each in members for done in each.works) for task, members in runs.items()}
    return Made(works, lambda prior: {task: weighted(prior, each) for task, each in sites.items()}, options=_EVEN)


def _average(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    runs = _members(session, fitted)
    sites = {task: [each.curved for each in members] for task, members in runs.items()}
    works = {task: tuple(each.run for each in members) for task, members in runs.items()}
    return Made(works, lambda prior: {task: plain(prior, each) for task, each in sites.items()}, options=_EVEN)


METHODS: Mapping[str, Method] = {
    "simple": Method("simple averaging (isotropic)", _simple, curved=False),
    "diagonal": Method("diagonal Gaussian (Fisher)", diagonal),
    "variational": Method("diagonal Gaussian, learned by IVON", variational, trains=True),
    "kronecker": Method("Kronecker-factored Gaussian (EKFAC)", kronecker),
    "lowrank": Method("diagonal + low rank (secants of K runs)", _lowrank, trains=True),
    "anchored": Method("Kronecker or diagonal, corrected at one joint run", anchored, trains=True),
    "mixture": Method("mixture of K runs (EM)", _mixture, trains=True),
    "average": Method("plain average of the same K runs", _average, curved=False, trains=True, control=True),
    "weighted": Method("curvature-weighted average of the same K runs", _weighted, trains=True, control=True),
    "ensemble": Method("mixture of what the tasks' models say, no params", _ensemble, curved=False, merges=False),
}
