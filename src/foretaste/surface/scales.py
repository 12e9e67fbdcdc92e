"""Scales: metrics as numbers that may be any, so that a normal distribution fits them and never leaves their bounds.

::

    bounded     z = arcsin(sqrt((v - low) / (high - low)))      a share of N examples then has variance 1 / (4 N)
    everywhere positive    z = log(v) perplexity  z = 2 sqrt(log v)                               the exponential of a
    loss, which is at least 0 other       z = v
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from foretaste.surface.table import Array

__all__ = ["Scale", "on_one_scale", "sampling_noise", "scale_of"]

_BOUNDS = {
    "accuracy": (0.0, 1.0),
    "token_accuracy": (0.0, 1.0),
    "exact_match": (0.0, 1.0),
    "f1": (0.0, 1.0),
    "macro_f1": (0.0, 1.0),
    "mcc": (-1.0, 1.0),
    "bleu": (0.0, 100.0),
    "chrf": (0.0, 100.0),
    "loss": (0.0, np.inf),
    "mean_absolute_error": (0.0, np.inf),
    "perplexity": (1.0, np.inf),
}
_SHARES = ("accuracy", "exact_match")
_APART = 0.5
_LEAST = 1e-6
_LARGEST = 700.0  # its exponential is near the largest float
_SLACK = 1e-9


@dataclass(frozen=True)
class Scale:
    """Between a metric's values and numbers without bounds.

    Args:
        low: The metric's least value: any below a finite ``high``; else minus infinity, 0, or 1 of an exponential.
        high: Its largest; may be infinity.

    References:
        Anscombe: The Transformation of Poisson, Binomial and Negative-Binomial Data, 1948,
        https://doi.org/10.1093/biomet/35.3-4.246

    >>> Scale(0.0, 1.0).backward(Scale(0.0, 1.0).forward(np.array([0.25, 1.0])))
    array([0.25, 1.  ])
    """

    low: float
    high: float

    def forward(self, values: Array) -> Array:
        """Turn values of the metric into numbers on the scale."""
        if np.isfinite(self.high):
            return np.asarray(np.arcsin(np.sqrt(np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0))))
        if self.low == 1.0:
            return np.asarray(2 * np.sqrt(np.log(np.maximum(values, 1.0))))
        return np.asarray(np.log(np.maximum(values, _LEAST))) if self.low == 0.0 else values

    def backward(self, numbers: Array) -> Array:
        """Turn numbers on the scale into values of the metric, within its bounds."""
        if np.isfinite(self.high):
            return np.asarray(self.low + (self.high - self.low) * np.sin(np.clip(numbers, 0.0, np.pi / 2)) ** 2)
        if self.low == 1.0:
            return np.asarray(np.exp(np.minimum(np.maximum(numbers, 0.0) ** 2 / 4, _LARGEST)))
        return np.asarray(np.exp(np.minimum(numbers, _LARGEST))) if self.low == 0.0 else numbers


def sampling_noise(metric: str, examples: int | None) -> float:
    """Standard deviation, on its scale, of what a finite number of examples adds to the difference between two runs.

    Known for shares of right examples alone: ``1 / (4 N)`` is the variance of each, and of two runs on the same
    examples half of it is taken to be shared. 0 where it is not known.

    Args:
        metric: Its name.
        examples: How many, if that is known.

    >>> round(sampling_noise("accuracy", 200), 3), sampling_noise("loss", 200), sampling_noise("accuracy", None)
    (0.025, 0.0, 0.0)
    """
    return float((_APART / (4 * examples)) ** 0.5) if examples and metric in _SHARES else 0.0


def scale_of(metric: str, values: Array) -> Scale:
    """The scale of a metric by its name; without bounds if it is unknown, or its values are not within the bounds.

    Args:
        metric: Its name.
        values: Any number of them.

    >>> scale_of("accuracy", np.array([0.5, 0.7])), scale_of("accuracy", np.array([50.0, 70.0]))
    (Scale(low=0.0, high=1.0), Scale(low=-inf, high=inf))
    """
    low, high = _BOUNDS.get(metric, (-np.inf, np.inf))
    fits = bool(((values >= low - _SLACK) & (values <= high + _SLACK)).all())
    return Scale(low, high) if fits else Scale(-np.inf, np.inf)


def on_one_scale(metrics: Iterable[str]) -> bool:
    """Whether a mean over these metrics is one of like things, which only values of the same metric are.

    Two shares need not be alike: half of all answers exactly right is far more than half of all tokens right.

    Args:
        metrics: Their names.

    >>> on_one_scale(["loss", "loss"]), on_one_scale(["exact_match", "token_accuracy"])
    (True, False)
    """
    return len(set(metrics)) <= 1
