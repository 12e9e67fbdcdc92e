"""Compare: preview methods side by side, each against the same joint runs, with controls, rivals and costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from foretaste.errors import RecipeError
from foretaste.evaluation import Evaluation
from foretaste.plan import Recipe
from foretaste.sources.problem import Problem
from foretaste.surface.agreement import judged
from foretaste.surface.comparison import Compared, Comparison, Kind, regret_of
from foretaste.surface.table import Surface, headlines
from foretaste.task import Task
from foretaste.weights import TaskWeights, uniform
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import Fitted, fit
from foretaste.workflow.methods import METHODS, check_methods, with_controls
from foretaste.workflow.preview import prepared, preview
from foretaste.workflow.session import Session, has_private_heads, joint_points
from foretaste.workflow.sharpen import cut, sharpened

__all__ = ["check_comparison", "compare", "compared_methods"]


def compare(session: Session, methods: Sequence[str] = (), steps: Sequence[int] = ()) -> Comparison:
    """Fit, preview by every method where joint runs are made, and say how near each comes.

    Work that the study has already is not done again.

    Args:
        session: The recipe at work.
        methods: Names in `METHODS`; if left out, all that can preview these tasks, but the controls. Controls go with the mixture.
        steps: Numbers of joint steps; each method's previews are also sharpened by these, and joint runs cut to them.

    Raises:
        RecipeError: The recipe asks for no joint run.
        TaskError: A method that cannot preview these tasks.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> small = "finetune: {steps: 2}, curvature: {max_examples: 2}, joint: {points: 3}"
    >>> recipe = parse(text := f"{{name: a, model: {{source: digits}}, {small}}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         found = compare(session, ["simple"], [1])
    >>> [each.method for each in found.methods], found.best, list(found.rivals)
    (['simple', 'simple+1', 'pretrained+1'], 'simple', ['uniform', 'proportional'])
    """
    asked, points = check_comparison(session.recipe, session.problem, methods), joint_points(session.recipe, session.problem)
    fitted = fit(session)
    tried = list(_tried(session, fitted, asked, steps, points))
    rivals = _rivals(session)
    truth = confirm(session, list(dict.fromkeys([*points, *rivals.values()])))
    joint = _surface(session, truth)
    seconds, judging = _joint_seconds(session, truth)
    found = tuple(
        Compared(
            judged(_surface(session, each.rows), joint, each.method),
            each.title,
            each.kind,
            once=each.seconds / seconds,
            each=max(0.0, mean(row.cost for row in each.rows) - judging) / seconds,
        )
        for each in tried
    )
    return Comparison(found, {name: regret_of(joint, points, weights) for name, weights in rivals.items()}, seconds)


def check_comparison(recipe: Recipe, problem: Problem, methods: Sequence[str] = ()) -> list[str]:
    """The methods that are compared, once it is known that they can be.

    Args:
        recipe: What is studied.
        problem: Its model and tasks.
        methods: See `compared_methods`.

    Raises:
        RecipeError: The recipe asks for no joint run.
        TaskError: A method that cannot preview these tasks.
    """
    if not joint_points(recipe, problem):
        raise RecipeError("there is nothing to compare previews with: joint.points is 0; set it to 3 or more in the recipe")
    asked = compared_methods(methods, problem.tasks)
    check_methods(asked, problem.tasks)
    return asked


def compared_methods(methods: Sequence[str] = (), tasks: Sequence[Task] = ()) -> list[str]:
    """The methods that are compared where these were asked for.

    Args:
        methods: Names in `METHODS`; if left out, all but the controls.
        tasks: Methods that cannot preview these are left out too, unless they were asked for.

    >>> compared_methods(["mixture", "simple"])
    ['mixture', 'average', 'weighted', 'simple']
    """
    return with_controls(list(methods) or [name for name, method in METHODS.items() if not method.control and method.suits(tasks)])


@dataclass(frozen=True)
class _Tried:
    method: str
    title: str
    kind: Kind
    seconds: float
    rows: Sequence[Evaluation]


def _tried(
    session: Session, fitted: Mapping[str, Fitted], methods: Sequence[str], steps: Sequence[int], points: Sequence[TaskWeights]
) -> Iterator[_Tried]:
    """Every method's rows, plain and sharpened, and joint runs cut to the same steps."""
    for name in methods:
        method, sites = METHODS[name], prepared(session, fitted, name)
        kind: Kind = "control" if method.control else "preview"
        yield _Tried(name, method.title, kind, sites.seconds, preview(session, fitted, [name], points))
        for count in steps if method.merges and not method.control else ():
            rows = sharpened(session, fitted, name, count, points)
            yield _Tried(rows[0].method, f"{name} preview and {count} joint steps", "sharpened", sites.seconds, rows)
    for count in steps:
        rows = cut(session, count, points)
        yield _Tried(rows[0].method, f"joint finetuning cut to {count} steps, no preview", "control", 0.0, rows)


def _rivals(session: Session) -> dict[str, TaskWeights]:
    """Weights that anyone can name without a preview."""
    names, counts = session.problem.names, [len(task.train) for task in session.problem.tasks]
    return {"uniform": uniform(names), "proportional": TaskWeights(names, [count / sum(counts) for count in counts])}


def _surface(session: Session, rows: Sequence[Evaluation]) -> Surface:
    return Surface(headlines(session.problem.tasks), tuple(rows), has_private_heads(session.problem))


def _joint_seconds(session: Session, truth: Sequence[Evaluation]) -> tuple[float, float]:
    """Seconds of one joint run's training, and of one evaluation."""
    made = {row.weights.key for row in truth}
    training = mean(done.seconds for done in session.study.all_work("joint") if done.inputs["weights"] in made)
    return training, mean(row.cost for row in truth) - training
