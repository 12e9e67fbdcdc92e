"""Calibration: how previews and joint runs are put together, for one metric of every task.

With p a preview of any fidelity and method (or a constant in its place), a joint run's value is ``p(alpha) +
f(alpha) + noise`` with a Gaussian process f around 0. Several p and f compete::

    as it is            f differs from point to point, half of it from run to run, and only that
    affine              f = a + b p besides: a calibrated preview
    Gaussian process    f = a + b p + a function that is smooth in alpha^(1/5)
    quadratic           no preview: f is a polynomial in sqrt(alpha)
    no preview          f = a + a smooth function

Each is weighted by how well it predicts every joint run from all others: the leave-one-out predictive density of
this task, times most of that of the other tasks; what one or two joint runs say of this is not wholly believed. The
mixture is the answer: its best predictor alone is too sure. Single-task models are joint runs at the corners: always
given, never judged by, because previews are exact there. What a task gives where it has no weight is off by five to
ten times as much as elsewhere, and has a function of its own in f.

All numbers are in units of a task's spread over previews and known runs. The constants were set by the intervals'
score and coverage on five truth tables, and checked on each with those that the other four would have set
(docs/trust.md); what there is to choose among was found by looking at all five. There previews were .1 to 1.7 units
off and joint runs of another seed .02 to 1.4. On digits alpha^(1/5) had two thirds of the error of sqrt(alpha).

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
from foretaste.surface.table import Array

__all__ = ["Known", "Mixture", "Previews", "Seen", "mixtures"]

_NOISES = (0.06, 0.2, 0.6)
_SIZES = (0.15, 0.4, 0.9)
_REACHES = ((0.3, 0.6), (0.3, 2.0))
_ROUGH = (0.01, 0.01)
_OFFSET, _SLOPE, _ABSENT = 0.5, 0.3, 0.5
_UNPREVIEWED = 0.02  # what predictors without previews count beside one with, before any joint run
_POOLED = 0.9
_UNSURE = 0.2  # joint runs: with as many, half of what they say of the predictors is believed
_KEPT = 1e-3
_EXACT = 1e-2
_SMOOTHERS = tuple(product((0.2, 0.5), (0.4, 1.2), (0.03, 0.2)))  # power, reach and noise of previews over the simplex


Seen = tuple[Array, Array]  # `[M, T]` values and `[M]` variances of previews at M places


@dataclass(frozen=True)
class Previews:
    """One fidelity and method over the whole simplex: a Gaussian process through its rows.

    Args:
        name: What they are called.
        center: `[T]`, their mean.
        alphas: `[N, T]`, where they were evaluated.
        process: Given their `[N, T]` values around the center.
        power: Of the coordinates.
        reach: Of the kernel.
        credit: How far they are trusted beside others before any joint run.
    """

    name: str
    center: Array
    alphas: Array
    process: Conditioned
    power: float
    reach: float
    credit: float = 1.0

    __repr__ = one_line

    @classmethod
    def through(cls, name: str, alphas: Array, values: Array, credit: float = 1.0) -> "Previews":
        """The smoothest description that predicts rows well when they are left out.

        Args:
            name: What they are called.
            alphas: `[N, T]`.
            values: `[N, T]`.
            credit: How far they are trusted beside others before any joint run.

        >>> alphas = np.array([[1.0, 0.0], [0.8, 0.2], [0.5, 0.5], [0.2, 0.8], [0.0, 1.0]])
        >>> Previews.through("simple", alphas, alphas).at(np.array([[0.6, 0.4]]))[0].round(1)
        array([[0.6, 0.4]])
        """
        center = values.mean(0)
        tried = []
        for power, reach, noise in _SMOOTHERS:
            places = _places(alphas, power)
            process = Conditioned.on(Kernel(1.0, reach, reach).between(places, places), np.full(len(alphas), noise**2), values - center)
            tried.append((float(process.densities().sum()), cls(name, center, alphas, process, power, reach, credit)))
        return max(tried, key=lambda pair: pair[0])[1]

    def at(self, alphas: Array) -> tuple[Array, Array]:
        """`[M, T]` values and `[M]` variances elsewhere."""
        kernel, places = Kernel(1.0, self.reach, self.reach), _places(alphas, self.power)
        mean, covariance = self.process.at(kernel.between(places, _places(self.alphas, self.power)), kernel.between(places, places))
        return mean + self.center, np.maximum(np.diag(covariance), 0.0)


@dataclass(frozen=True)
class Known:
    """Runs whose values are known.

    Args:
        alphas: `[N, T]`.
        values: `[N, T]`.
        counts: `[N, T]`, whether the value says something of joint finetuning.
        exact: `[N]`, whether the run is a single-task model.
        noise: `[T]`, standard deviation that every other run has at least, for its finite number of examples.
    """

    alphas: Array
    values: Array
    counts: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    noise: Array

    __repr__ = one_line


@dataclass(frozen=True)
class Mixture:
    """The predictors of one task that count.

    Args:
        parts: Each with its share; shares add up to 1.
        left_out: `[J]`, every joint run's value as predicted from all others.
        least: Standard deviation that a single run has at least.
    """

    parts: tuple[tuple[float, "_Fitted"], ...]
    left_out: Array
    least: float

    __repr__ = one_line

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """How much each kind of predictor counts, the most important first."""
        names = sorted({part.candidate.name for _, part in self.parts})
        found = {name: sum(share for share, part in self.parts if part.candidate.name == name) for name in names}
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def at(self, alphas: Array, seen: Sequence[Seen]) -> tuple[Array, Array, float]:
        """Mean `[M]` and covariance `[M, M]` elsewhere, and the standard deviation of a single run.

        Args:
            alphas: `[M, T]`.
            seen: What each of the previews says there.
        """
        places = {part.candidate.previews: part.elsewhere(alphas, seen) for _, part in self.parts}  # shared, so that distances are too
        found = [(share, *part.at(places[part.candidate.previews])) for share, part in self.parts]
        mean = np.sum([share * own for share, own, _ in found], axis=0)
        spread = [share * (covariance + np.outer(own - mean, own - mean)) for share, own, covariance in found]
        noise = sum(share * part.candidate.noise**2 for share, part in self.parts) + self.least**2
        return mean, np.sum(spread, axis=0) + np.diag(self.doubts(seen).sum(1)) if seen else np.sum(spread, axis=0), float(np.sqrt(noise))

    def doubts(self, seen: Sequence[Seen]) -> Array:
        """`[M, P]`: variance that is there because each of P previews has not been evaluated at M places.

        Args:
            seen: What each of the previews says there.
        """
        counts = [sum(share for share, part in self.parts if part.candidate.previews == place) for place in range(len(seen))]
        return np.stack([count * variance for count, (_, variance) in zip(counts, seen, strict=True)], axis=-1)


def mixtures(known: Known, previews: Sequence[Previews]) -> list[Mixture]:
    """Weigh all predictors against each other, for each of T tasks.

    Args:
        known: Joint runs and single-task models.
        previews: Of every fidelity and method.

    >>> alphas = np.array([[1.0, 0.0], [0.8, 0.2], [0.5, 0.5], [0.2, 0.8], [0.0, 1.0]])
    >>> joint = Known(alphas, alphas + 0.3, np.full((5, 2), True), np.full(5, False), np.zeros(2))
    >>> found = mixtures(joint, [Previews.through("simple", alphas, alphas)])
    >>> bool((np.abs(found[0].left_out - joint.values[:, 0]) < 0.1).all())
    True
    """
    candidates, seen = _candidates(previews), [each.at(known.alphas) for each in previews]
    fitted = [_fit(candidates, known, previews, seen, task) for task in range(known.alphas.shape[1])]
    judged = [~known.exact[rows] for rows in known.counts.T]
    scores = np.array([[each.process.densities()[rows].sum() for each in own] for own, rows in zip(fitted, judged, strict=True)])
    count = int((~known.exact).sum())
    believed = count / (count + _UNSURE)
    pooled = believed * (scores + _POOLED * (scores.sum(0) - scores)) + np.log([candidate.prior for candidate in candidates])
    mixed = zip(pooled, fitted, judged, known.noise.tolist(), strict=True)
    return [_mixture(_softmax(score), own, rows, least) for score, own, rows, least in mixed]


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
    """Every kind of predictor with every size it may have; kinds with previews are as likely at first as these have credit."""
    polynomials = [(Kernel(0.0, 1.0, 1.0, 2 * _OFFSET, 0.0, size, _ABSENT), noise) for size, noise in product(_SIZES, _NOISES)]
    found = _kind("no preview", None, _smooth(2 * _OFFSET, 0.0), _UNPREVIEWED)
    found += _kind("quadratic", None, polynomials, _UNPREVIEWED)
    for index, each in enumerate(previews):
        share = each.credit / sum(other.credit for other in previews)
        found += _kind(f"{each.name} as it is", index, _rough(0.0, 0.0), share)
        found += _kind(f"{each.name}, affine", index, _rough(_OFFSET, _SLOPE), share)
        found += _kind(f"{each.name}, Gaussian process", index, _smooth(_OFFSET, _SLOPE), share)
    return found


def _kind(name: str, previews: int | None, choices: Sequence[tuple[Kernel, float]], share: float) -> list[_Candidate]:
    return [_Candidate(name, previews, kernel, noise, share / len(choices)) for kernel, noise in choices]


def _smooth(offset: float, slope: float) -> list[tuple[Kernel, float]]:
    return [(Kernel(size, *reach, offset, slope, absent=_ABSENT), noise) for size, reach, noise in product(_SIZES, _REACHES, _NOISES)]


def _rough(offset: float, slope: float) -> list[tuple[Kernel, float]]:
    """What differs from point to point: half of its variance is the weighting's, half the run's, which another seed does not repeat."""
    halves = [size * 0.5**0.5 for size in _SIZES]
    return [(Kernel(half, *_ROUGH, offset, slope, absent=_ABSENT), float(np.hypot(half, _NOISES[0]))) for half in halves]


@dataclass(frozen=True)
class _Fitted:
    candidate: _Candidate
    places: Places
    center: float
    process: Conditioned

    def elsewhere(self, alphas: Array, seen: Sequence[Seen]) -> Places:
        index, task = self.candidate.previews, self.places.task
        return Places(alphas, task, np.zeros(len(alphas)) if index is None else seen[index][0][:, task] - self.center)

    def at(self, places: Places) -> tuple[Array, Array]:
        kernel = self.candidate.kernel
        mean, covariance = self.process.at(kernel.between(places, self.places), kernel.between(places, places))
        return self.center + places.preview + mean, covariance


def _fit(candidates: Sequence[_Candidate], known: Known, previews: Sequence[Previews], seen: Sequence[Seen], task: int) -> list[_Fitted]:
    rows = known.counts[:, task]
    alphas, values, exact = known.alphas[rows], known.values[rows, task], known.exact[rows]
    constant = float(values.mean()) if len(values) else 0.0
    bare = (Places(alphas, task, np.zeros(len(values))), constant)
    centers = [float(each.center[task]) for each in previews]
    given = [(Places(alphas, task, at[rows, task] - center), center) for (at, _), center in zip(seen, centers, strict=True)]
    found = []
    for candidate in candidates:
        index = candidate.previews
        places, center = bare if index is None else given[index]
        least = float(known.noise[task])
        noise = np.where(exact & (index is not None), _EXACT**2, candidate.noise**2 + least**2)
        process = Conditioned.on(candidate.kernel.between(places, places), noise, values - places.preview - center)
        found.append(_Fitted(candidate, places, center, process))
    return found


def _mixture(shares: Array, fitted: Sequence[_Fitted], judged: NDArray[np.bool_], least: float) -> Mixture:
    kept = [(float(share), each) for share, each in zip(shares, fitted, strict=True) if share > _KEPT * shares.max()]
    total = sum(share for share, _ in kept)
    parts = tuple((share / total, each) for share, each in kept)
    left_out = [share * (each.places.preview + each.center + each.process.left_out()[0])[judged] for share, each in parts]
    return Mixture(parts, np.sum(left_out, axis=0), least)


def _places(alphas: Array, power: float) -> Places:
    return Places(alphas, 0, np.zeros(len(alphas)), power)
