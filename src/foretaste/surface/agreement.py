"""Agreement: how far previews predict joint finetuning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from foretaste.errors import StudyError
from foretaste.evaluation import MethodSteps
from foretaste.method_table import METHOD_TABLE
from foretaste.one_line import one_line
from foretaste.surface.table import Array, Surface
from foretaste.weights import TaskWeights, uniform

__all__ = ["Agreement", "agreement", "agreement_without_anchor", "anchor_of", "spearman"]

_TOP = 0.25
_FEWEST = 3
_TIE = 1e-6


@dataclass(frozen=True)
class Agreement:
    """Previews against joint runs at the same weights.

    Rank correlations are None where fewer than 3 points or no variation leave them undefined.

    Args:
        method: The previews' posterior.
        points: Weightings that have both a preview and a joint run.
        error: Mean absolute error of each task's headline metric.
        loss_error: Mean absolute error of each task's loss.
        rank: Spearman correlation per task.
        rank_mean: Rank correlation of the mean over tasks.
        rank_worst: Rank correlation of the worst task.
        rank_top: Rank correlation of the mean, among the quarter of points (at least 3) where joint is best.
        regret_mean: Joint's best mean minus joint's mean where the previews' mean is best; averaged over ties.
        regret_worst: The same regret for the worst task.
        spread: Range of the joint mean over the points: what there is to choose.
        left_out: Weightings that have both, but whose joint run the previews rest on.
    """

    method: str
    points: int
    error: Mapping[str, float]
    loss_error: Mapping[str, float]
    rank: Mapping[str, float | None]
    rank_mean: float | None
    rank_worst: float | None
    rank_top: float | None
    regret_mean: float
    regret_worst: float
    spread: float
    left_out: int = 0

    __repr__ = one_line

    @property
    def mean_error(self) -> float:
        """Error averaged over tasks."""
        return float(np.mean(list(self.error.values())))


def agreement(previews: Surface, joint: Surface, method: str = "") -> Agreement:
    """Compare previews with joint runs where both exist.

    A preview that is the joint run itself, as an anchored one is at its anchor, says nothing about how far
    off others are: errors leave out weightings where every metric of every task is the same, unless
    there are no others.

    Args:
        previews: Rows of one method; repeated weightings are averaged.
        joint: Joint rows; seeds are averaged.
        method: Name for the result.

    Raises:
        StudyError: No weighting has both.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners
    >>> rows = tuple(
    ...     Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint")
    ...     for w in corners(["a", "b"])
    ... )
    >>> agreement(
    ...     Surface({t: Headline("accuracy") for t in "ab"}, rows),
    ...     Surface({t: Headline("accuracy") for t in "ab"}, rows),
    ... ).mean_error
    0.0
    """
    truth = joint.trainable().averaged()
    cheap = previews.averaged()
    shared = [row.weights for row in truth.rows if cheap.at(row.weights) is not None]
    if not shared:
        raise StudyError("no weighting has both a preview and a joint run; run `foretaste confirm` first")
    guess = replace(cheap, rows=tuple(row for w in shared if (row := cheap.at(w))))
    truth = replace(truth, rows=tuple(row for w in shared if (row := truth.at(w))))
    predicted, real = guess.oriented(), truth.oriented()
    informative = [preview.metrics != run.metrics for preview, run in zip(guess.rows, truth.rows, strict=True)]
    informative = informative if any(informative) else [True] * len(informative)
    top = np.argsort(-real.mean(1), kind="stable")[: max(_FEWEST, round(_TOP * len(shared)))]
    return Agreement(
        method=method,
        points=len(shared),
        error=_by_task(guess, np.abs(guess.values() - truth.values())[informative].mean(0)),
        loss_error=_by_task(guess, _losses_apart(guess, truth)[informative].mean(0)),
        rank={task: spearman(predicted[:, i], real[:, i]) for i, task in enumerate(guess.tasks)},
        rank_mean=spearman(predicted.mean(1), real.mean(1)),
        rank_worst=spearman(predicted.min(1), real.min(1)),
        rank_top=spearman(predicted.mean(1)[top], real.mean(1)[top]),
        regret_mean=_regret(predicted.mean(1), real.mean(1)),
        regret_worst=_regret(predicted.min(1), real.min(1)),
        spread=float(np.ptp(real.mean(1))),
    )


def agreement_without_anchor(previews: Surface, joint: Surface, method: str, steps: int = 0) -> Agreement:
    """Compare previews with joint runs, without the one that the previews were corrected by.

    Errors are NaN if there is no other.

    Args:
        previews: Rows of one method.
        joint: Joint rows.
        method: The method's name.
        steps: Joint steps that sharpened the previews.

    Raises:
        StudyError: No weighting has both.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> rows = tuple(
    ...     Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint")
    ...     for w in [uniform("ab")]
    ... )
    >>> surface = Surface({t: Headline("accuracy") for t in "ab"}, rows)
    >>> results = (agreement_without_anchor(surface, surface, name) for name in ("simple", "anchored"))
    >>> [(result.points, result.left_out) for result in results]
    [(1, 0), (0, 1)]
    """
    label, anchor = str(MethodSteps(method, steps)), anchor_of(method, previews.tasks)
    confirmed = {row.weights for row in joint.trainable().rows}
    others = replace(previews, rows=tuple(row for row in previews.rows if row.weights != anchor))
    if len(others.rows) == len(previews.rows) or anchor not in confirmed:
        return agreement(previews, joint, label)
    if any(row.weights in confirmed for row in others.rows):
        return replace(agreement(others, joint, label), left_out=1)
    unknown = dict.fromkeys(previews.tasks, nan)
    return Agreement(label, 0, unknown, unknown, dict.fromkeys(previews.tasks), None, None, None, nan, nan, nan, 1)


def anchor_of(method: str, tasks: Sequence[str]) -> TaskWeights | None:
    """Return the weights of the joint run that a method's previews are corrected by; None for most methods.

    >>> anchor_of("anchored", "ab"), anchor_of("simple", "ab")
    (TaskWeights(a=0.5,b=0.5), None)
    """
    row = METHOD_TABLE.get(method)
    return uniform(tasks) if row is not None and row.has_anchor else None


def spearman(left: Array, right: Array) -> float | None:
    """Compute Spearman's rank correlation; None where it is undefined.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0]))
    1.0
    """
    if len(left) < _FEWEST or not np.isfinite([left, right]).all():
        return None
    left_ranks, right_ranks = (ranks - ranks.mean() for ranks in (_ranks(left), _ranks(right)))
    size = float(np.sqrt((left_ranks @ left_ranks) * (right_ranks @ right_ranks)))
    return round(float(left_ranks @ right_ranks) / size, 12) if size else None


def _ranks(values: Array) -> Array:
    """`[N]` ranks from 1.

    Equal values share the mean of theirs. numpy alone, so that showing a study need not import scipy.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _losses_apart(guess: Surface, truth: Surface) -> Array:
    """`[N, T]` absolute differences of the losses; NaN where a row from elsewhere has none."""
    tables = [
        [[row.metrics[task].get("loss", nan) for task in rows.tasks] for row in rows.rows] for rows in (guess, truth)
    ]
    return np.asarray(np.abs(np.array(tables[0]) - np.array(tables[1])))


def _by_task(surface: Surface, numbers: Array) -> dict[str, float]:
    return {task: float(number) for task, number in zip(surface.tasks, numbers, strict=True)}


def _regret(predicted: Array, real: Array) -> float:
    """Average over the weightings that are predicted best equally: which of them is chosen is chance."""
    return float(real.max() - real[predicted >= predicted.max() - _TIE].mean())
