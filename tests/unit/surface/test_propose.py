from dataclasses import replace

import numpy as np
import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.outlook import Beliefs, Outlook, outlook
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.propose import Option, Proposal, gains, propose
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights

TASKS = ("a", "b", "c")
HEADS = {task: Headline("accuracy") for task in TASKS}
GRID = lattice(TASKS, 6)
MEAN = Preference("mean", {})
JOINT = Option(Fidelity.JOINT, "joint", 1.0)
PREVIEW = Option(Fidelity.PREVIEW, "diagonal", 0.02)
SHARPENED = Option(Fidelity.SHARPENED, "diagonal+5", 0.1)


def row(weights: TaskWeights, fidelity: Fidelity, method: str, loss: float) -> Evaluation:
    metrics = {
        task: {"accuracy": 0.4 + 0.5 * share**0.4 - loss * min(weights.values())} for task, share in weights.items()
    }
    return Evaluation(weights, metrics, fidelity, method)


def surface(previews: int = len(GRID), joint: int = 0) -> Surface:
    rows = [row(w, Fidelity.PREVIEW, "diagonal", 0.3) for w in GRID[:previews]]
    inner = [w for w in GRID if min(w.values()) > 0]
    return Surface(HEADS, (*rows, *(row(w, Fidelity.JOINT, "joint", 0.0) for w in inner[:joint])))


@pytest.fixture(scope="module")
def found() -> Outlook:
    return outlook(surface(), GRID)


def test_the_knowledge_gradient_of_independent_beliefs() -> None:
    """For two independent normal values the expected maximum is known: Clark, 1961."""
    beliefs = Beliefs(np.array([0.0, 0.1]), np.diag([0.04, 0.0]), np.zeros(2))
    z = np.linspace(-8, 8, 200001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    exact = np.trapezoid(np.maximum(0.2 * z, 0.1) * density, z) - 0.1
    assert gains(beliefs, [0])[0] == pytest.approx(exact, rel=0.03)
    assert gains(beliefs, [1])[0] == pytest.approx(0.0)


def test_noise_and_certainty_take_gains_away() -> None:
    sure = Beliefs(np.array([0.0, 0.0]), np.diag([0.04, 0.0]), np.zeros(2))
    noisy = replace(sure, noise=np.full(2, 0.12))
    assert gains(noisy, [0])[0] == pytest.approx(gains(sure, [0])[0] / 2)  # a quarter of the variance is told
    assert gains(replace(sure, mean=np.array([0.0, 5.0])), [0])[0] == pytest.approx(0.0)


def test_a_difference_that_moves_together_is_worth_nothing() -> None:
    together = Beliefs(np.array([0.0, 0.0]), np.ones((2, 2)), np.zeros(2))
    assert gains(together, [0, 1]).max() < 1e-9


def test_joint_runs_go_inside_and_each_weighting_once(found: Outlook) -> None:
    proposed = propose(found, MEAN, options=[JOINT], count=5)
    assert len({each.weights for each in proposed}) == 5
    assert all(each.weights.corner is None and each.gain > 0 and each.option is JOINT for each in proposed)
    assert proposed[0].gain >= proposed[-1].gain


def test_known_pending_and_failed_are_not_proposed(found: Outlook) -> None:
    first = propose(found, MEAN, options=[JOINT])[0]
    assert propose(found, MEAN, options=[JOINT], failed=[first])[0].weights != first.weights
    assert propose(found, MEAN, options=[JOINT], pending=[first]) == propose(found, MEAN, options=[JOINT], count=2)[1:]
    elsewhere = Proposal(TaskWeights(TASKS, (0.11, 0.11, 0.78)), JOINT, 0.0)
    assert propose(found, MEAN, options=[JOINT], pending=[elsewhere]) == [first]
    told = outlook(
        replace(found.surface, rows=(*found.surface.rows, row(first.weights, Fidelity.JOINT, "joint", 0.0))), GRID
    )
    assert propose(told, MEAN, options=[JOINT])[0].weights != first.weights


def test_a_run_that_failed_in_one_way_may_be_made_in_another(found: Outlook) -> None:
    first = propose(found, MEAN, options=[SHARPENED])[0]
    assert propose(found, MEAN, options=[JOINT], failed=[first])[0] == propose(found, MEAN, options=[JOINT])[0]


def test_gains_fall_as_joint_runs_are_made() -> None:
    expected = [propose(outlook(surface(joint=joint), GRID), MEAN, options=[JOINT])[0].gain for joint in (0, 3, 9)]
    assert expected[0] > expected[1] > expected[2]


def test_cheap_previews_come_first_while_they_tell_something() -> None:
    few = outlook(surface(previews=9), GRID)
    first = propose(few, MEAN, options=[JOINT, PREVIEW])[0]
    assert first.option is PREVIEW
    assert first.weights not in GRID[:9]
    dear = replace(PREVIEW, cost=1e6)
    assert propose(few, MEAN, options=[JOINT, dear])[0].option is JOINT


def test_everything_previewed_leaves_joint_runs(found: Outlook) -> None:
    assert propose(found, MEAN, options=[PREVIEW]) == []
    assert propose(found, MEAN, options=[PREVIEW, JOINT])[0].option is JOINT


def test_a_fidelity_that_is_not_known_yet_is_worth_a_part_of_a_joint_run(found: Outlook) -> None:
    joint, sharpened = (propose(found, MEAN, options=[option])[0] for option in (JOINT, SHARPENED))
    assert 0 < sharpened.gain < joint.gain
    assert sharpened.weights.corner is None
    assert propose(found, MEAN, options=[JOINT, SHARPENED])[0].option is SHARPENED  # at a tenth of the cost


def test_floors_and_the_front_change_what_is_proposed(found: Outlook) -> None:
    floor = [Floor("b", 0.8, relative=False)]
    mean, floored = (propose(found, MEAN, floors, options=[JOINT])[0] for floors in ([], floor))
    assert floored.weights["b"] >= max(0.5, mean.weights["b"])
    several = propose(found, None, options=[JOINT], count=4)
    assert len({each.weights for each in several}) == 4
    assert propose(found, None, options=[JOINT], count=4) == several
    shares = np.array([list(each.weights.values()) for each in several])
    assert np.ptp(shares, axis=0).min() > 0.1  # all over the simplex


def test_an_option_is_needed(found: Outlook) -> None:
    with pytest.raises(StudyError, match="no way to evaluate is open"):
        propose(found, MEAN, options=[])
