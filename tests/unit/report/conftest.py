"""Small studies, made by hand: previews of a known shape, joint runs a known distance away."""

from collections.abc import Callable, Sequence
from functools import cache

import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.summary import Summary, summarise
from foretaste.simplex import lattice
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights

OFFSET = 0.02

Study = Callable[..., Summary]


def _row(weights: TaskWeights, fidelity: Fidelity, method: str, shift: float) -> Evaluation:
    metrics = {task: {"loss": 1 - share, "accuracy": 0.5 + 0.4 * share**0.5 + shift} for task, share in weights.items()}
    return Evaluation(weights, metrics, fidelity, method, seed=0, cost=2.0)


def study(
    tasks: Sequence[str],
    *,
    resolution: int = 4,
    joint: Sequence[TaskWeights] | None = None,
    methods: Sequence[str] = ("simple", "diagonal"),
    preference: str = "mean",
    floors: Sequence[str] = (),
    name: str = "study",
) -> Summary:
    """Previews on a lattice; joint runs (by default at every point) are `OFFSET` better.

    Equal studies are summarised once, since a summary never changes.
    """
    points = None if joint is None else tuple(joint)
    return _summary(tuple(tasks), resolution, points, tuple(methods), preference, tuple(floors), name)


@cache
def _summary(
    tasks: tuple[str, ...],
    resolution: int,
    joint: tuple[TaskWeights, ...] | None,
    methods: tuple[str, ...],
    preference: str,
    floors: tuple[str, ...],
    name: str,
) -> Summary:
    points = lattice(tasks, resolution)
    rows = [_row(weights, Fidelity.PREVIEW, method, 0.0) for method in methods for weights in points]
    rows += [_row(weights, Fidelity.JOINT, "joint", OFFSET) for weights in (points if joint is None else joint)]
    return summarise(
        Surface({task: Headline("accuracy") for task in tasks}, tuple(rows)),
        name=name,
        method=methods[-1] if methods else "simple",
        preference=Preference.parse(preference, tasks),
        floors=[Floor.parse(floor, tasks) for floor in floors],
        provenance={"seed": "0", "torch": "2.8"},
        costs={"previews": 75.0},
    )


@pytest.fixture
def make() -> Study:
    return study
