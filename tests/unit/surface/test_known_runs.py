import numpy as np

from foretaste.surface.known_runs import KnownRuns


def test_thinned_runs_are_spread_over_all_of_them() -> None:
    alphas = np.linspace(0, 1, 11)[:, None]
    runs = KnownRuns(alphas, alphas, alphas >= 0, alphas[:, 0] > 0.5, np.zeros(1), (None,))
    few = runs.thinned(3)
    assert few.alphas[:, 0].tolist() == [0.0, 0.5, 1.0]
    assert few.exact.tolist() == [False, False, True]
    assert few.columns == (None,)
