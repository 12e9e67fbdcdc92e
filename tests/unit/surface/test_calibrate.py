from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from foretaste.simplex import lattice
from foretaste.surface.calibrate import Mixture, mixtures
from foretaste.surface.known_runs import KnownRuns
from foretaste.surface.preview_process import Previews
from foretaste.surface.table import Array

GRID = np.array([list(weights.values()) for weights in lattice("abc", 8)])
INSIDE = GRID[GRID.min(1) > 0]
CORNERS = np.eye(3)


def curve(alphas: Array) -> Array:
    """`[N, 3]`: each task is the better the more it weighs, with a spread of about 1."""
    return np.asarray(4 * np.sqrt(alphas) - 2)


def known(alphas: Array, values: Array) -> KnownRuns:
    """These joint runs, and single-task models from the curve."""
    exact = np.arange(len(alphas) + 3) < 3
    return KnownRuns(
        np.vstack([CORNERS, alphas]),
        np.vstack([curve(CORNERS), values]),
        np.ones((len(alphas) + 3, 3), dtype=bool),
        exact,
        np.zeros(3),
        (0, 1, 2),
    )


def at(fitted: Sequence[Mixture], alphas: Array, previews: Sequence[Previews]) -> Array:
    values = [process.at(alphas) for process in previews]
    return np.stack([mixture.at(alphas, values)[0] for mixture in fitted], axis=1)


def share_of(preview: str, mixture: Mixture) -> float:
    return sum(share for name, share in mixture.shares.items() if name.startswith(preview))


class TestMixtures:
    EVIDENCE = INSIDE[::4]
    PREVIEWS = (
        Previews.through("good", GRID, curve(GRID)),
        Previews.through("bad", GRID, 2 - 2 * curve(GRID[:, ::-1])),
    )

    def test_shares_add_up_to_one_in_order(self) -> None:
        for mixture in mixtures(known(self.EVIDENCE, curve(self.EVIDENCE)), self.PREVIEWS):
            assert sum(mixture.shares.values()) == pytest.approx(1.0)
            assert list(mixture.shares.values()) == sorted(mixture.shares.values(), reverse=True)

    def test_a_preview_that_is_right_wins(self) -> None:
        for mixture in mixtures(known(self.EVIDENCE, curve(self.EVIDENCE)), self.PREVIEWS):
            assert next(iter(mixture.shares)) == "good, Gaussian process"
            assert share_of("bad", mixture) < 0.05

    def test_a_preview_that_is_off_by_a_constant_is_calibrated(self) -> None:
        found = mixtures(known(self.EVIDENCE, curve(self.EVIDENCE) + 0.8), self.PREVIEWS)
        assert np.abs(at(found, INSIDE, self.PREVIEWS) - curve(INSIDE) - 0.8).mean() < 0.1

    def test_left_out_runs_are_the_joint_ones(self) -> None:
        found = mixtures(known(self.EVIDENCE, curve(self.EVIDENCE)), self.PREVIEWS)
        for task, mixture in enumerate(found):
            assert np.abs(mixture.left_out - curve(self.EVIDENCE)[:, task]).mean() < 0.1

    def test_the_more_is_known_the_surer(self) -> None:
        seen, widths = [each.at(INSIDE) for each in self.PREVIEWS], []
        for count in (0, 2, 5):
            own = mixtures(known(self.EVIDENCE[:count], curve(self.EVIDENCE[:count])), self.PREVIEWS)[0]
            widths.append(np.diag(own.at(INSIDE, seen)[1]).mean())
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] < widths[0] / 4

    def test_predictors_that_disagree_make_it_unsure(self) -> None:
        seen, facts = [each.at(INSIDE) for each in self.PREVIEWS], known(INSIDE[:0], INSIDE[:0])
        both, one = (mixtures(facts, self.PREVIEWS[:count])[0].at(INSIDE, seen[:count])[1] for count in (2, 1))
        apart = np.abs(seen[0][0] - seen[1][0])[:, 0]
        assert (np.diag(both) - np.diag(one))[apart > 2].min() > 0.5

    def test_runs_of_other_tasks_help_to_choose(self) -> None:
        facts = known(self.EVIDENCE, curve(self.EVIDENCE))
        own, others = facts.counts.copy(), np.zeros_like(facts.counts)
        own[4:, 0], others[:4, 0] = False, True
        alone = mixtures(replace(facts, counts=others), self.PREVIEWS)[0]
        helped = mixtures(replace(facts, counts=own), self.PREVIEWS)[0]
        assert share_of("bad", helped) < share_of("bad", alone) / 2

    def test_a_run_that_says_nothing_of_a_task_does_not_count_for_it(self) -> None:
        facts = known(self.EVIDENCE, curve(self.EVIDENCE))
        wrong = replace(facts, values=facts.values.copy(), counts=facts.counts.copy())
        wrong.values[1, 0], wrong.counts[1, 0] = 99.0, False
        found = at(mixtures(wrong, self.PREVIEWS), INSIDE, self.PREVIEWS)
        assert np.abs(found - curve(INSIDE)).mean() < 0.1

    def test_nothing_known_and_no_preview_known(self) -> None:
        nothing = KnownRuns(
            np.zeros((0, 3)),
            np.zeros((0, 3)),
            np.zeros((0, 3), dtype=bool),
            np.zeros(0, dtype=bool),
            np.zeros(3),
            (0, 1, 2),
        )
        assert np.abs(at(mixtures(nothing, self.PREVIEWS[:1]), INSIDE, self.PREVIEWS[:1]) - curve(INSIDE)).mean() < 0.3
        assert np.isfinite(at(mixtures(known(self.EVIDENCE, curve(self.EVIDENCE)), ()), INSIDE, ())).all()

    def test_noise_that_is_known_widens_and_calms(self) -> None:
        facts = known(INSIDE[:4], curve(INSIDE[:4]))
        noisy = replace(facts, noise=np.full(3, 0.5))
        sharp, wide = (mixtures(each, self.PREVIEWS)[0] for each in (facts, noisy))
        seen = [each.at(INSIDE[4:]) for each in self.PREVIEWS]
        assert wide.at(INSIDE[4:], seen)[2] >= 0.5 > sharp.at(INSIDE[4:], seen)[2]

    def test_runs_of_another_seed_are_within_the_interval_where_one_is_known(self) -> None:
        first, again = 0.4 * np.random.default_rng(0).standard_normal((2, *INSIDE.shape))
        seen, found = (
            [each.at(INSIDE) for each in self.PREVIEWS],
            mixtures(known(INSIDE, curve(INSIDE) + first), self.PREVIEWS),
        )
        inside = []
        for task, mixture in enumerate(found):
            mean, covariance, noise = mixture.at(INSIDE, seen)
            inside.append(
                np.abs(curve(INSIDE)[:, task] + again[:, task] - mean)
                <= 1.645 * np.sqrt(np.diag(covariance) + noise**2)
            )
        assert 0.7 <= np.mean(inside) <= 0.97  # were all of it the weighting's, .2
