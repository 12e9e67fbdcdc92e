import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import dirichlet
from foretaste.surface.outlook import candidates
from foretaste.surface.scatter import best_rows, best_weights, round_weights, scatter
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights

NAMES = [f"d{number}" for number in range(17)]


def surface(count: int, private: bool = False) -> Surface:
    rows = [
        Evaluation(w, {"a": {"loss": 3 - 2 * w["d0"] + w["d1"]}}, Fidelity.JOINT, "joint")
        for w in dirichlet(NAMES, count, np.random.default_rng(1))
    ]
    return Surface({"a": Headline("loss", False)}, tuple(rows), private, tuple(NAMES))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30).filter(lambda shares: sum(shares) > 0), st.integers(0, 2))
def test_rounded_weights_add_up(shares: list[float], least: int) -> None:
    values = np.array(shares) / sum(shares)
    rounded = round_weights([str(place) for place in range(len(values))], values, least)
    assert abs(sum(rounded.values()) - 1) < 1e-9
    assert min(rounded.values()) >= least / 1000 - 1e-12
    assert least or max(abs(np.array(rounded.shares) - values)) <= 0.0011 + 1e-12


def test_candidates_are_better_than_random_and_the_same_every_time() -> None:
    known = surface(60)
    points = scatter(known)
    assert points == scatter(known)
    assert len(points) > 200
    worth = [2 * weights["d0"] - weights["d1"] for weights in points]
    assert np.mean(worth) > 2 * np.mean([2 * row.weights["d0"] - row.weights["d1"] for row in known.rows])
    assert set(points) <= set(candidates(known))


def test_with_few_names_candidates_are_a_lattice() -> None:
    four = Surface({name: Headline("loss", False) for name in "abcd"}, ())
    assert len(candidates(four)) == 165


def test_every_task_keeps_some_weight_where_it_must() -> None:
    assert all(min(weights.values()) > 0 for weights in scatter(surface(60, private=True)))


def test_the_best_rows_come_first() -> None:
    rows = (
        Evaluation(
            TaskWeights("ab", [share, 1 - share]), {"a": {"f1": share}, "b": {"f1": 0.5}}, Fidelity.JOINT, "joint"
        )
        for share in (0.2, 0.9, 0.5)
    )
    known = Surface({"a": Headline("f1"), "b": Headline("f1")}, tuple(rows))
    assert best_rows(known)[0][:, 0].tolist() == [0.9, 0.5, 0.2]
    assert best_weights(known)[0] == TaskWeights("ab", [0.9, 0.1])
