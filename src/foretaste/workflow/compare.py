"""Compare: preview methods side by side, each against the same joint runs, with controls, rivals and costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from foretaste.errors import RecipeError
from foretaste.evaluation import Evaluation
from foretaste.method_table import METHOD_TABLE, with_controls
from foretaste.methods.registry import check_methods, fits
from foretaste.outputs import is_mixable
from foretaste.plan import Recipe
from foretaste.sources.problem import Problem
from foretaste.sources.space import OWN, Space
from foretaste.surface.agreement import agreement_without_anchor
from foretaste.surface.comparison import Comparison, Kind, MethodComparison, regret_of
from foretaste.surface.table import Surface, headlines
from foretaste.task import Task
from foretaste.weights import TaskWeights, uniform
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import fit
from foretaste.workflow.points import joint_points
from foretaste.workflow.preview import prepare, preview
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews, train_briefly

__all__ = ["check_comparison", "compare", "methods_to_compare"]


def compare(session: Session, methods: Sequence[str] = (), steps: Sequence[int] = ()) -> Comparison:
    """Fit, preview by every method where joint runs are made, and say how near each comes.

    Work that the study has already is not done again.

    Args:
        session: The recipe at work.
        methods: Their names; if left out, all that can preview these tasks, but the controls. Controls go with the
            mixture.
        steps: Numbers of joint steps; each method's previews are also sharpened by these, and joint runs cut to them.

    Raises:
        RecipeError: The recipe asks for no joint run.
        TaskError: A method that cannot preview these tasks.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study("finetune: {steps: 2}, curvature: {max_examples: 2}, joint: {points: 3}") as session:
    ...     compared = compare(session, ["simple"], [1])
    >>> [candidate.method for candidate in compared.methods], compared.best, list(compared.rivals)
    (['simple', 'simple+1', 'pretrained+1'], 'simple', ['uniform', 'proportional'])
    """
    names, points = (
        check_comparison(session.recipe, session.problem, methods),
        joint_points(session.recipe, session.problem),
    )
    fit(session)
    candidates = list(_method_rows(session, names, steps, points))
    rivals = _rivals(session)
    truth = confirm(session, list(dict.fromkeys([*points, *rivals.values()])))
    joint = _surface(session, truth)
    seconds, judging = _joint_seconds(session, truth)
    compared = tuple(
        MethodComparison(
            agreement_without_anchor(_surface(session, candidate.rows), joint, candidate.method, candidate.steps),
            candidate.title,
            candidate.kind,
            once=candidate.seconds / seconds,
            each=max(0.0, mean(row.cost for row in candidate.rows) - judging) / seconds,
        )
        for candidate in candidates
    )
    return Comparison(compared, {name: regret_of(joint, points, weights) for name, weights in rivals.items()}, seconds)


def check_comparison(recipe: Recipe, problem: Problem, methods: Sequence[str] = ()) -> list[str]:
    """Check that a comparison is possible, and list the methods to compare.

    Args:
        recipe: What is studied.
        problem: Its model and tasks.
        methods: See `methods_to_compare`.

    Raises:
        RecipeError: The recipe asks for no joint run.
        TaskError: A method that cannot preview these tasks.
    """
    if not joint_points(recipe, problem):
        raise RecipeError(
            "there is nothing to compare previews with: joint.points is 0; set it to 3 or more in the recipe"
        )
    names = methods_to_compare(methods, problem.tasks, problem.space)
    check_methods(names, problem.tasks, problem.space)
    return names


def methods_to_compare(methods: Sequence[str] = (), tasks: Sequence[Task] = (), space: Space = OWN) -> list[str]:
    """List the methods to compare: those requested, and their controls.

    Args:
        methods: Names in `foretaste.method_table`; if left out, all but the controls.
        tasks: Methods that cannot preview these are left out too, unless they were asked for.
        space: Where models are merged; methods that cannot merge there are left out as well.

    >>> methods_to_compare(["mixture", "simple"])
    ['mixture', 'average', 'weighted', 'simple']
    """
    return with_controls(
        list(methods)
        or [
            name
            for name, row in METHOD_TABLE.items()
            if fits(name, space)
            and (not row.is_control or row.coordinates == "lora")
            and (row.has_params or is_mixable(tasks))
        ]
    )


@dataclass(frozen=True)
class _MethodRows:
    method: str
    steps: int
    title: str
    kind: Kind
    seconds: float
    rows: Sequence[Evaluation]


def _method_rows(
    session: Session, methods: Sequence[str], steps: Sequence[int], points: Sequence[TaskWeights]
) -> Iterator[_MethodRows]:
    """Every method's rows, plain and sharpened, and joint runs cut to the same steps."""
    for name in methods:
        row, sites = METHOD_TABLE[name], prepare(session, name)
        kind: Kind = "control" if row.is_control else "preview"
        yield _MethodRows(name, 0, row.title, kind, sites.seconds, preview(session, [name], points))
        for count in steps if row.has_params and not row.is_control else ():
            rows = sharpen_previews(session, name, count, points)
            yield _MethodRows(name, count, f"{name} preview and {count} joint steps", "sharpened", sites.seconds, rows)
    for count in steps:
        rows = train_briefly(session, count, points)
        title = f"joint finetuning cut to {count} steps, no preview"
        yield _MethodRows(rows[0].method, count, title, "control", 0.0, rows)


def _rivals(session: Session) -> dict[str, TaskWeights]:
    """Weights that anyone can name without a preview."""
    names, counts = session.problem.names, [len(task.train) for task in session.problem.tasks]
    return {"uniform": uniform(names), "proportional": TaskWeights(names, [count / sum(counts) for count in counts])}


def _surface(session: Session, rows: Sequence[Evaluation]) -> Surface:
    return Surface(headlines(session.problem.tasks), tuple(rows), session.problem.has_private_heads)


def _joint_seconds(session: Session, truth: Sequence[Evaluation]) -> tuple[float, float]:
    """Seconds of one joint run's training, and of one evaluation."""
    keys = {row.weights.key for row in truth}
    training = mean(run.seconds for run in session.study.all_work("joint") if run.inputs["weights"] in keys)
    return training, mean(row.cost for row in truth) - training
