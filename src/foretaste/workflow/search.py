"""Search: previews, then joint runs where the decision hangs, until the budget is spent or little is left to gain.

What is next is proposed by `foretaste.surface.propose`; the study keeps every row, so that a search that was stopped
goes on where it was, and asking for a larger budget goes on from a smaller one.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from foretaste.errors import BadInput, RunFailed, WeightsError
from foretaste.evaluation import Fidelity, MethodSteps
from foretaste.methods.registry import check_methods, last_with_params
from foretaste.plan import Recipe
from foretaste.simplex import inside, lattice, lattice_near, reaches_inside, spread
from foretaste.sources.problem import Problem
from foretaste.surface.hindsight import predict_past_runs
from foretaste.surface.outlook import Outlook, evaluated_weights, outlook
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.propose import Option, Proposal, propose
from foretaste.surface.recommend import Recommendation, recommend
from foretaste.surface.searched import Budget, Progress, SearchResult
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import FittedTask, fit
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews
from foretaste.workflow.spending import Account

__all__ = ["methods_to_search", "search"]

_FIRST = 0.6  # of the previews are spread evenly; the rest go where they tell most
_BATCH = 8
_SHARPENED = 0.1  # of a joint run's steps
_ANCHOR = "anchored"


def search(
    session: Session,
    budget: Budget,
    preference: Preference | None,
    floors: Sequence[Floor] = (),
    *,
    tolerance: float = 0.002,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> SearchResult:
    """Look for the weights that suit best, by as many evaluations as the budget allows.

    First come previews all over the simplex by every method of the recipe, the joint run at uniform weights (which
    all others are held against) and, where there are to be two joint runs or more, previews anchored there. Then
    whatever is worth most per second. The last joint run is kept to confirm the recommendation.

    Args:
        session: The recipe at work.
        budget: How much may be evaluated.
        preference: What to maximise; None to find the whole front, and recommend its knee.
        floors: What must hold.
        tolerance: Stop when a joint run is expected to gain less than this share of what there is to choose.
        on_progress: Told before every step, and at the end.

    Raises:
        WeightsError: A budget that does not cover the single-task models' evaluation.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study("finetune: {steps: 1}, curvature: {max_examples: 1}, preview: {methods: [simple]}") as session:
    ...     result = search(session, Budget(joint=1, previews=6), Preference("mean", {}))
    >>> result.spent, len(result.past_predictions)
    (Budget(joint=1, previews=6, sharpened=0), 1)
    """
    work = _Work.begin(session, budget)
    work.spread_out()
    while True:
        view = outlook(work.surface())
        target = preference or Preference("knee", {})
        best = recommend(view, target, floors, among=evaluated_weights(view.surface))
        proposals, stopped = _next(work, view, best, preference, floors, tolerance)
        on_progress(Progress(best, work.spent(), tuple(proposals)))
        if not proposals:
            return SearchResult(best, work.spent(), stopped, work.reasons, tuple(predict_past_runs(view.surface)))
        work.evaluate(proposals)


def _next(
    work: "_Work",
    view: Outlook,
    best: Recommendation,
    preference: Preference | None,
    floors: Sequence[Floor],
    tolerance: float,
) -> tuple[list[Proposal], str]:
    """What to evaluate next, or why nothing is left to do."""
    left, options = work.left(), work.options()
    joint = Option(Fidelity.JOINT, str(Fidelity.JOINT), work.cost(Fidelity.JOINT, str(Fidelity.JOINT)))
    confirming = Proposal(best.weights, joint, best.next_gain)
    unconfirmed = (
        left.joint > 0 and not best.confirmed and best.weights.corner is None and confirming not in work.failed
    )
    open_to = [*options, *([joint] if left.joint > (1 if unconfirmed else 0) else [])]
    least = tolerance * _choice(view, preference)
    if open_to:
        proposals = propose(view, preference, floors, options=open_to, count=_BATCH, failed=work.failed)
        worth = [proposal for proposal in proposals if proposal.gain / proposal.option.cost * joint.cost >= least]
        if worth:
            return _together(worth, len(view.surface.tasks) + 1), ""
    if unconfirmed:
        return [confirming], ""
    if not (options or left.joint):
        return [], "the budget is spent"
    return [], f"what the budget leaves is expected to add less than {least:.2g} for the cost of a joint run"


def _choice(view: Outlook, preference: Preference | None) -> float:
    """The range of expected values: what there is to choose; of the front, in the units of its gains."""
    return 1.0 if preference is None else float(np.ptp(view.values(preference.resolve_knee(view.surface)).mean(0)))


def _together(worth: Sequence[Proposal], fewest: int) -> list[Proposal]:
    """Proposals to evaluate before asking again: joint runs one by one, others of a kind together."""
    kind = worth[0].option
    alike = [proposal for proposal in worth if proposal.option == kind]
    return {Fidelity.JOINT: alike[:1], Fidelity.SHARPENED: alike[:fewest], Fidelity.PREVIEW: alike}[kind.fidelity]


def methods_to_search(recipe: Recipe, problem: Problem, budget: Budget) -> tuple[str, ...]:
    """Check that the budget allows a search, and list its preview methods.

    Args:
        recipe: What is studied.
        problem: Its model and tasks.
        budget: How much may be evaluated.

    Raises:
        WeightsError: A budget that does not cover the single-task models' evaluation.
        TaskError: A method that cannot preview these tasks.

    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> methods_to_search(
    ...     parse("{name: a, model: {source: digits}, preview: {methods: [simple]}}"), digits(), Budget(joint=2)
    ... )
    ('simple', 'anchored')
    """
    names = problem.names
    if budget.previews < len(names):
        short = f"a budget of {budget.previews} previews does not cover the {len(names)} single-task models"
        raise WeightsError(f"{short}; write at least previews={len(names)}")
    methods: list[str] = list(recipe.preview.methods)
    if budget.joint >= 2 and _ANCHOR not in methods:
        methods.append(_ANCHOR)
    if budget.joint < 1 and _ANCHOR in methods and len(methods) > 1:
        methods.remove(_ANCHOR)  # it would make a joint run
    check_methods(methods, problem.tasks, problem.space)
    if budget.sharpened:
        last_with_params(methods)
    return tuple(methods)


@dataclass(eq=False)
class _Work:
    """A search's means: evaluates what was proposed and counts it."""

    session: Session
    budget: Budget
    fitted: Mapping[str, FittedTask]
    methods: tuple[str, ...]
    account: Account
    failed: list[Proposal] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, session: Session, budget: Budget) -> "_Work":
        methods = methods_to_search(session.recipe, session.problem, budget)
        return cls(session, budget, fit(session), methods, Account.of(session.study))

    def surface(self) -> Surface:
        return self.account.surface()

    def spent(self) -> Budget:
        return self.account.spent(self.methods, self.sharpening)

    def left(self) -> Budget:
        spent = self.spent()
        return Budget(
            *(
                max(0, ours - used)
                for ours, used in zip(asdict(self.budget).values(), asdict(spent).values(), strict=True)
            )
        )

    @property
    def steps(self) -> int:
        return max(1, round(_SHARPENED * self.session.joint_training.steps))

    @property
    def base(self) -> str:
        """The method whose previews are sharpened."""
        return last_with_params(self.methods)

    @property
    def sharpening(self) -> str:
        """The method's name of sharpened rows, if any are asked for."""
        return str(MethodSteps(self.base, self.steps)) if self.budget.sharpened else ""

    def cost(self, fidelity: Fidelity, method: str) -> float:
        """Seconds of one evaluation, as far as they are known from the study."""
        mean = self.account.mean_cost(fidelity, method)
        if mean is not None:
            return max(mean, 1e-6)
        trained = statistics.mean(task.run.seconds for task in self.fitted.values())
        return max(
            {Fidelity.JOINT: 1.0, Fidelity.SHARPENED: _SHARPENED, Fidelity.PREVIEW: 0.01}[fidelity] * trained, 1e-6
        )

    def options(self) -> list[Option]:
        """Ways to evaluate that the budget leaves open, joint runs aside."""
        left = self.left()
        options = [
            Option(Fidelity.PREVIEW, name, self.cost(Fidelity.PREVIEW, name)) for name in self.methods if left.previews
        ]
        if left.sharpened:
            options.append(Option(Fidelity.SHARPENED, self.sharpening, self.cost(Fidelity.SHARPENED, self.sharpening)))
        return options

    def spread_out(self) -> None:
        """Single-task models, previews all over the simplex, and the joint run at uniform weights."""
        names, first = self.session.problem.names, self._evenly()
        for method in self.methods:
            if method == _ANCHOR and self.budget.joint:
                self._joint_at_uniform(names)
            preview(self.session, [method], first[: max(0, self.left_for(method, first))])
        if self.budget.joint:
            self._joint_at_uniform(names)

    def left_for(self, method: str, points: Sequence[TaskWeights]) -> int:
        """How many of these points fit the budget; those that are there already cost nothing."""
        previewed = self.account.previewed(method)
        new, left = 0, self.left().previews
        for place, weights in enumerate(points):
            new += weights not in previewed
            if new > left:
                return place
        return len(points)

    def _joint_at_uniform(self, names: Sequence[str]) -> None:
        if not self.spent().joint:
            confirm(self.session, [uniform(names)])

    def _evenly(self) -> list[TaskWeights]:
        names = self.session.problem.names
        count = max(len(names), round(_FIRST * self.budget.previews / len(self.methods)))
        resolution = lattice_near(names, count)
        finer = lattice(names, resolution + 1) if reaches_inside(names, resolution + 1) else inside(names, count)
        inner = [weights for weights in [uniform(names), *finer] if weights.corner is None]
        if self.session.problem.has_private_heads:
            inner = [weights for weights in inner if min(weights.values()) > 0] or [uniform(names)]
        return list(dict.fromkeys([*corners(names), *spread(inner, max(0, count - len(names)))]))

    def evaluate(self, proposals: Sequence[Proposal]) -> None:
        """Evaluate proposals of one kind together.

        If that fails, one by one: which fail is remembered, and not tried again.
        """
        affordable = proposals[: self._room(proposals[0].option.fidelity)]
        try:
            self._evaluate(affordable[0].option, [proposal.weights for proposal in affordable])
        except (RunFailed, BadInput) as error:
            for proposal in affordable if len(affordable) > 1 else ():
                self.evaluate([proposal])
            if len(affordable) == 1:
                self.failed.append(affordable[0])
                self.reasons[f"{affordable[0].option.method} at {affordable[0].weights}"] = str(error)

    def _room(self, fidelity: Fidelity) -> int:
        left = self.left()
        return {Fidelity.JOINT: left.joint, Fidelity.PREVIEW: left.previews, Fidelity.SHARPENED: left.sharpened}[
            fidelity
        ]

    def _evaluate(self, option: Option, points: Sequence[TaskWeights]) -> None:
        if option.fidelity == Fidelity.JOINT:
            confirm(self.session, points)
        elif option.fidelity == Fidelity.SHARPENED:
            sharpen_previews(self.session, self.base, self.steps, points)
        else:
            preview(self.session, [option.method], points)
