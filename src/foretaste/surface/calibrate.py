"""Calibration: combines previews and joint runs, for one metric of every task.

With p a preview of any fidelity and method (or a constant in its place), a joint run's value is ``p(alpha) +
f(alpha) + noise`` with a Gaussian process f around 0. Several p and f compete::

    as it is            f only differs from point to point, and half of that from run to run
    affine              f also has a + b p: a calibrated preview
    Gaussian process    f = a + b p + a function that is smooth in alpha^(1/5)
    quadratic           no preview: f is a polynomial in sqrt(alpha)
    no preview          f = a + a smooth function

The weight of each says how well it predicts every joint run from all others: the leave-one-out predictive density of
this task, times most of that of the other tasks. One or two joint runs count less than in full. The mixture is the
answer, since its best predictor alone has too narrow intervals. Single-task models are joint runs at the corners. They
are data but no test, because previews are exact there. A task's error where it has no weight is five to ten times as
large as elsewhere, and has a function of its own in f.

All numbers are in units of a task's spread over previews and joint runs. The constants were chosen by the intervals'
score and coverage on five truth tables. They were checked on each table with the constants that the other four would
give (docs/trust.md); the list of choices itself came from all five. There, previews were .1 to 1.7 units off, and joint
runs of another seed .02 to 1.4. On digits, alpha^(1/5) had two thirds of the error of sqrt(alpha).

References:
    Kennedy, O'Hagan: Predicting the Output from a Complex Computer Code when Fast Approximations are Available, 2000,
    https://doi.org/10.1093/biomet/87.1.1
    Geisser, Eddy: A Predictive Approach to Model Selection, 1979, https://doi.org/10.1080/01621459.1979.10481632
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from foretaste.one_line import one_line
from foretaste.surface.gaussian_process import Conditioned, Kernel, Places
from foretaste.surface.known_runs import KnownRuns
from foretaste.surface.preview_process import Previews, PreviewValues
from foretaste.surface.table import Array

__all__ = ["Mixture", "mixtures"]

_NOISES = (0.06, 0.2, 0.6)
_SIZES = (0.15, 0.4, 0.9)
_REACHES = ((0.3, 0.6), (0.3, 2.0))
_ROUGH = (0.01, 0.01)
_OFFSET, _SLOPE, _ABSENT = 0.5, 0.3, 0.5
_UNPREVIEWED = 0.02  # weight of predictors without previews beside one with previews, before any joint run
_POOLED = 0.9
_UNSURE = 0.2  # number of joint runs whose evidence about predictors counts half
_KEPT = 1e-3
_EXACT = 1e-2
_MANY, _FEW, _PROMISING = 250, 125, 4  # with many runs, few of them tell which predictors are fitted to all of them


@dataclass(frozen=True)
class Mixture:
    """The predictors of one task that count.

    Args:
        parts: The predictors with their shares, which add up to 1.
        left_out: `[J]`, the prediction of every joint run's value from all others.
        least: The least standard deviation of a single run.
    """

    parts: tuple[tuple[float, "_Fit"], ...]
    left_out: Array
    least: float

    __repr__ = one_line

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """The share of each kind of predictor, the largest first."""
        names = sorted({part.candidate.name for _, part in self.parts})
        shares = {name: sum(share for share, part in self.parts if part.candidate.name == name) for name in names}
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))

    def at(self, alphas: Array, previewed: Sequence[PreviewValues]) -> tuple[Array, Array, float]:
        """Compute mean `[M]` and covariance `[M, M]` at M weightings, and the standard deviation of a single run.

        Args:
            alphas: `[M, D]`, the weightings.
            previewed: The values and variances of each preview there.
        """
        places = {part.candidate.previews: part.elsewhere(alphas, previewed) for _, part in self.parts}
        predictions = [(share, *part.at(places[part.candidate.previews])) for share, part in self.parts]
        mean = np.sum([share * part_mean for share, part_mean, _ in predictions], axis=0)
        spread = [
            share * (covariance + np.outer(part_mean - mean, part_mean - mean))
            for share, part_mean, covariance in predictions
        ]
        noise = sum(share * part.candidate.noise**2 for share, part in self.parts) + self.least**2
        return (
            mean,
            np.sum(spread, axis=0) + np.diag(self.doubts(previewed).sum(1)) if previewed else np.sum(spread, axis=0),
            float(np.sqrt(noise)),
        )

    def doubts(self, previewed: Sequence[PreviewValues]) -> Array:
        """Compute the variance that is due to each of P previews not being evaluated at M weightings, `[M, P]`.

        Args:
            previewed: The values and variances of each preview there.
        """
        counts = [
            sum(share for share, part in self.parts if part.candidate.previews == place)
            for place in range(len(previewed))
        ]
        return np.stack([count * variance for count, (_, variance) in zip(counts, previewed, strict=True)], axis=-1)


def mixtures(runs: KnownRuns, previews: Sequence[Previews]) -> list[Mixture]:
    """Weigh all predictors against each other, for each of T tasks.

    Args:
        runs: Joint runs and single-task models.
        previews: The previews of every fidelity and method.

    >>> alphas = np.array([[1.0, 0.0], [0.8, 0.2], [0.5, 0.5], [0.2, 0.8], [0.0, 1.0]])
    >>> joint = KnownRuns(alphas, alphas + 0.3, np.full((5, 2), True), np.full(5, False), np.zeros(2), (0, 1))
    >>> mixed = mixtures(joint, [Previews.through("simple", alphas, alphas)])
    >>> bool((np.abs(mixed[0].left_out - joint.values[:, 0]) < 0.1).all())
    True
    """
    candidates = _candidates(previews)
    if len(runs.alphas) > _MANY:
        pooled, _, _ = _score(candidates, runs.thinned(_FEW), previews)
        candidates = _promising(candidates, pooled)
    pooled, fits, is_joint = _score(candidates, runs, previews)
    mixed = zip(pooled, fits, is_joint, runs.noise.tolist(), strict=True)
    return [_mixture(_softmax(score), task_fits, rows, least) for score, task_fits, rows, least in mixed]


def _promising(candidates: Sequence["_Candidate"], pooled: Array) -> list["_Candidate"]:
    """Return the predictors that count most, summed over the tasks, in their order."""
    shares = np.sum([_softmax(score) for score in pooled], axis=0)
    best = np.argsort(-shares, kind="stable")[:_PROMISING]
    return [candidate for place, candidate in enumerate(candidates) if place in set(best.tolist())]


def _score(
    candidates: Sequence["_Candidate"], runs: KnownRuns, previews: Sequence[Previews]
) -> tuple[Array, list[list["_Fit"]], list[NDArray[np.bool_]]]:
    """Fit every predictor to every task.

    Returns:
        `[T, C]` logarithms of how much each counts, up to a constant; the fits; and by task which runs are joint.
    """
    previewed = [preview.at(runs.alphas) for preview in previews]
    fits = [_fit(candidates, runs, previews, previewed, task) for task in range(runs.values.shape[1])]
    is_joint = [~runs.exact[rows] for rows in runs.counts.T]
    scores = np.array(
        [
            [fit.process.densities()[rows].sum() for fit in task_fits]
            for task_fits, rows in zip(fits, is_joint, strict=True)
        ]
    )
    count = int((~runs.exact).sum())
    believed = count / (count + _UNSURE)
    pooled = believed * (scores + _POOLED * (scores.sum(0) - scores)) + np.log(
        [candidate.prior for candidate in candidates]
    )
    return pooled, fits, is_joint


def _softmax(scores: Array) -> Array:
    """Shares in proportion to ``exp(scores)``; numpy alone, so that showing a study need not import scipy."""
    counts = np.exp(scores - scores.max())
    return np.asarray(counts / counts.sum())


@dataclass(frozen=True)
class _Candidate:
    name: str
    previews: int | None
    kernel: Kernel
    noise: float
    prior: float


def _candidates(previews: Sequence[Previews]) -> list[_Candidate]:
    """List every kind of predictor in every size.

    At first, kinds with previews are as likely as their previews' credit says.
    """
    polynomials = [
        (Kernel(0.0, 1.0, 1.0, 2 * _OFFSET, 0.0, size, _ABSENT), noise) for size, noise in product(_SIZES, _NOISES)
    ]
    candidates = _kind("no preview", None, _smooth(2 * _OFFSET, 0.0), _UNPREVIEWED)
    candidates += _kind("quadratic", None, polynomials, _UNPREVIEWED)
    for index, preview in enumerate(previews):
        share = preview.credit / sum(other.credit for other in previews)
        candidates += _kind(f"{preview.name} as it is", index, _rough(0.0, 0.0), share)
        candidates += _kind(f"{preview.name}, affine", index, _rough(_OFFSET, _SLOPE), share)
        candidates += _kind(f"{preview.name}, Gaussian process", index, _smooth(_OFFSET, _SLOPE), share)
    return candidates


def _kind(name: str, previews: int | None, choices: Sequence[tuple[Kernel, float]], share: float) -> list[_Candidate]:
    return [_Candidate(name, previews, kernel, noise, share / len(choices)) for kernel, noise in choices]


def _smooth(offset: float, slope: float) -> list[tuple[Kernel, float]]:
    return [
        (Kernel(size, *reach, offset, slope, absent=_ABSENT), noise)
        for size, reach, noise in product(_SIZES, _REACHES, _NOISES)
    ]


def _rough(offset: float, slope: float) -> list[tuple[Kernel, float]]:
    """Noise that differs from point to point: half of its variance is the weighting's, half is the run's own."""
    halves = [size * 0.5**0.5 for size in _SIZES]
    return [
        (Kernel(half, *_ROUGH, offset, slope, absent=_ABSENT), float(np.hypot(half, _NOISES[0]))) for half in halves
    ]


@dataclass(frozen=True)
class _Fit:
    candidate: _Candidate
    task: int
    places: Places
    center: float
    process: Conditioned

    def elsewhere(self, alphas: Array, previewed: Sequence[PreviewValues]) -> Places:
        index = self.candidate.previews
        preview = np.zeros(len(alphas)) if index is None else previewed[index][0][:, self.task] - self.center
        return Places(alphas, self.places.task, preview)

    def at(self, places: Places) -> tuple[Array, Array]:
        kernel = self.candidate.kernel
        mean, covariance = self.process.at(kernel.between(places, self.places), kernel.between(places, places))
        return self.center + places.preview + mean, covariance


def _fit(
    candidates: Sequence[_Candidate],
    runs: KnownRuns,
    previews: Sequence[Previews],
    previewed: Sequence[PreviewValues],
    task: int,
) -> list[_Fit]:
    rows, column = runs.counts[:, task], runs.columns[task]
    alphas, values, exact = runs.alphas[rows], runs.values[rows, task], runs.exact[rows]
    constant = float(values.mean()) if len(values) else 0.0
    bare = (Places(alphas, column, np.zeros(len(values))), constant)
    centers = [float(preview.center[task]) for preview in previews]
    places_by_preview = [
        (Places(alphas, column, at[rows, task] - center), center)
        for (at, _), center in zip(previewed, centers, strict=True)
    ]
    fits = []
    for candidate in candidates:
        index = candidate.previews
        places, center = bare if index is None else places_by_preview[index]
        least = float(runs.noise[task])
        is_exact = exact & (index is not None and previews[index].is_merged)
        noise = np.where(is_exact, _EXACT**2, candidate.noise**2 + least**2)
        process = Conditioned.on(candidate.kernel.between(places, places), noise, values - places.preview - center)
        fits.append(_Fit(candidate, task, places, center, process))
    return fits


def _mixture(shares: Array, fits: Sequence[_Fit], is_joint: NDArray[np.bool_], least: float) -> Mixture:
    counting = [(float(share), fit) for share, fit in zip(shares, fits, strict=True) if share > _KEPT * shares.max()]
    total = sum(share for share, _ in counting)
    parts = tuple((share / total, fit) for share, fit in counting)
    left_out = [share * (fit.places.preview + fit.center + fit.process.left_out()[0])[is_joint] for share, fit in parts]
    return Mixture(parts, np.sum(left_out, axis=0), least)
