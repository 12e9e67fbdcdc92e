import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.surface.agreement import Agreement
from foretaste.surface.comparison import Comparison, Kind, MethodComparison, Regret, regret_of
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, uniform

AB = ["a", "b"]
POINTS = [TaskWeights(AB, [share, 1 - share]) for share in (0.25, 0.75)]


def compared(method: str, kind: Kind, regret: float, error: float) -> MethodComparison:
    found = Agreement(
        method,
        3,
        {"a": error, "b": error},
        {"a": 0.0, "b": 0.0},
        {"a": None, "b": None},
        None,
        None,
        None,
        regret,
        0.0,
        0.1,
    )
    return MethodComparison(found, method, kind, 1.0, 0.0)


def joint(metric: str, values: dict[TaskWeights, tuple[float, float]], higher: bool = True) -> Surface:
    rows = [
        Evaluation(at, {"a": {metric: a}, "b": {metric: b}}, Fidelity.JOINT, "joint") for at, (a, b) in values.items()
    ]
    return Surface({task: Headline(metric, higher) for task in AB}, tuple(rows))


def test_the_best_is_a_preview_of_least_regret_then_error() -> None:
    control, sharp = compared("average", "control", 0.0, 0.0), compared("simple+9", "sharpened", 0.0, 0.0)
    near, far = compared("diagonal", "preview", 0.1, 0.01), compared("simple", "preview", 0.1, 0.02)
    worse = compared("mixture", "preview", 0.2, 0.0)
    assert Comparison((control, sharp, far, near, worse), {}, 1.0).best == "diagonal"


def test_regret_is_against_the_best_weighting_compared() -> None:
    surface = joint("accuracy", {POINTS[0]: (0.6, 0.9), POINTS[1]: (0.8, 0.5), uniform(AB): (0.7, 0.7)})
    found = regret_of(surface, POINTS, uniform(AB))
    assert found.mean == pytest.approx(0.05)
    assert found.worst == pytest.approx(-0.1)  # better than both
    assert regret_of(surface, POINTS, POINTS[0]) == Regret(0.0, 0.0)


def test_regret_of_a_loss_is_above_0_too() -> None:
    surface = joint("loss", {POINTS[0]: (0.2, 0.2), POINTS[1]: (0.5, 0.6)}, higher=False)
    found = regret_of(surface, POINTS, POINTS[1])
    assert [found.mean, found.worst] == pytest.approx([0.35, 0.4])
