"""Prediction: the joint surface expected from previews and the joint runs made so far, with its uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.method_table import METHOD_TABLE
from foretaste.one_line import one_line
from foretaste.simplex import spread
from foretaste.surface.calibrate import Mixture, mixtures
from foretaste.surface.known_runs import KnownRuns
from foretaste.surface.prediction import Prediction
from foretaste.surface.preview_process import Previews
from foretaste.surface.scales import Scale, sampling_noise, scale_of
from foretaste.surface.table import Array, Surface, task_of
from foretaste.weights import TaskWeights

__all__ = ["Predictor", "fit_predictor", "predict"]

_LEAST_SPREAD = 0.02
_LEAST_VARIANCE = 1e-12
_SHARPENED = 16.0  # the credit of sharpened previews
_MOST = 250  # weightings of one kind of preview that are learned from
_TOGETHER = 0.5  # share of a task's uncertainty that it has in common with the others once there are joint runs


@dataclass(frozen=True)
class Predictor:
    """A fitted predictor of joint runs at any weightings, also where nothing was evaluated.

    Args:
        tasks: Task names.
        weight_names: Names of what is weighted.
        scales: Of each task's metric.
        units: `[T]`, the spread of each task's values on its scale.
        previews: Of every fidelity and method, in these units.
        mixtures: For each task, the predictors that count.
        common: See `Prediction`.
        errors: See `Prediction`.
        basis: See `Prediction`.
    """

    tasks: tuple[str, ...]
    weight_names: tuple[str, ...]
    scales: tuple[Scale, ...]
    units: Array
    previews: tuple[Previews, ...]
    mixtures: tuple[Mixture, ...]
    common: Array
    errors: Mapping[str, float | None]
    basis: str

    __repr__ = one_line

    def at(self, points: Sequence[TaskWeights]) -> Prediction:
        """Predict joint runs at N weightings."""
        alphas = _alphas(points, self.weight_names)
        preview_values = [previews.at(alphas) for previews in self.previews]
        predictions = [mixture.at(alphas, preview_values) for mixture in self.mixtures]
        variances = [np.maximum(np.diag(own), _LEAST_VARIANCE) for _, own, _ in predictions]
        return Prediction(
            weights=tuple(points),
            scales=self.scales,
            means=np.stack([mean for mean, _, _ in predictions], axis=1) * self.units,
            covariances=np.stack([covariance for _, covariance, _ in predictions]) * self.units[:, None, None] ** 2,
            noises=np.array([noise for _, _, noise in predictions]) * self.units,
            common=self.common,
            shares={task: mixture.shares for task, mixture in zip(self.tasks, self.mixtures, strict=True)},
            errors=self.errors,
            basis=self.basis,
            doubts={
                previews.name: np.stack(
                    [
                        mixture.doubts(preview_values)[:, place] / own
                        for mixture, own in zip(self.mixtures, variances, strict=True)
                    ],
                    1,
                )
                for place, previews in enumerate(self.previews)
            },
        )


def predict(surface: Surface, points: Sequence[TaskWeights], metric: str | None = None) -> Prediction:
    """Predict joint runs at some weightings: `fit_predictor`, then `Predictor.at`.

    Args:
        surface: See `fit_predictor`.
        points: N weightings.
        metric: See `fit_predictor`.

    Raises:
        StudyError: See `fit_predictor`.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.simplex import lattice
    >>> fidelities, points = [(Fidelity.PREVIEW, 0.8), (Fidelity.JOINT, 0.2)], lattice("ab", 6)
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": 0.5 + 0.4 * w[t] - loss * min(w.values())} for t in w}, fidelity, "simple")
    ...     for fidelity, loss in fidelities
    ...     for w in points
    ... ]
    >>> prediction = predict(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows[:-3])), points[-3:-2])
    >>> prediction.median.round(1), list(rows[-3].metrics.values())
    (array([[0.6, 0.7]]), [{'accuracy': 0.5666666666666667}, {'accuracy': 0.7}])
    >>> prediction.basis
    '3 joint runs, 2 single-task models and previews (simple)'
    """
    return fit_predictor(surface, metric).at(points)


def fit_predictor(surface: Surface, metric: str | None = None) -> Predictor:
    """Learn from previews of all fidelities, single-task models and joint runs what joint runs elsewhere will give.

    Joint runs at a corner are single-task models; where there is none, a preview there is taken for one (that of
    simple averaging if there is one), as merging guarantees. Where tasks have heads of their own
    (`Surface.has_private_heads`), a run tells only about the tasks that have weight. A row that lacks the metric for
    some task is left out, and so are previews of a method with fewer than T + 1 weightings.

    Args:
        surface: Rows in any order.
        metric: One that every task has; each task's headline metric if left out.

    Raises:
        StudyError: A metric that is not a finite number, or no rows to learn from.

    >>> from foretaste.surface.table import Headline
    >>> fit_predictor(Surface({"a": Headline("accuracy")}, ()))
    Traceback (most recent call last):
    ...
    foretaste.errors.StudyError: nothing to predict accuracy from; preview at least 2 weightings, or confirm one
    """
    columns = {task: metric or headline.metric for task, headline in surface.headlines.items()}
    rows = [row for row in surface.rows if all(name in row.metrics.get(task, {}) for task, name in columns.items())]
    scales = tuple(
        scale_of(name, column) for name, column in zip(columns.values(), _values(rows, columns).T, strict=True)
    )
    least = len(surface.weight_names) + 1
    singles, joint, previewed = _singles(surface, rows), _joint(rows), _previewed(rows, least)
    used = [*singles, *joint, *(row for group in previewed.values() for row in group)]
    if not used:
        metrics = " and ".join(sorted(set(columns.values())))
        raise StudyError(f"nothing to predict {metrics} from; preview at least {least} weightings, or confirm one")
    units = np.maximum(_numbers(used, columns, scales).std(0), _LEAST_SPREAD)
    previews = tuple(
        _fit_previews(key, group, surface.weight_names, columns, scales, units) for key, group in previewed.items()
    )
    if previews and not any(preview.is_merged for preview in previews):
        singles, joint = [], [*singles, *joint]  # nothing is exact at the corners
    runs = _known_runs(surface, singles, joint, columns, scales, units)
    weighed = tuple(mixtures(runs, previews))
    left_out = [runs.values[runs.counts[:, task] & ~runs.exact, task] for task in range(len(columns))]
    errors = {
        task: _error(scale, unit * mixture.left_out, unit * real)
        for task, scale, unit, mixture, real in zip(columns, scales, units, weighed, left_out, strict=True)
    }
    common = (surface.signs if metric is None else np.ones(len(columns))) * (np.sqrt(_TOGETHER) if joint else 1.0)
    return Predictor(
        surface.tasks,
        surface.weight_names,
        scales,
        units,
        previews,
        weighed,
        common,
        errors,
        _basis(len(joint), len(singles), list(previewed)),
    )


def _known_runs(
    surface: Surface,
    singles: Sequence[Evaluation],
    joint: Sequence[Evaluation],
    columns: Mapping[str, str],
    scales: Sequence[Scale],
    units: Array,
) -> KnownRuns:
    """Single-task models, then joint runs, in each task's units."""
    alphas = _alphas([row.weights for row in (*singles, *joint)], surface.weight_names)
    values = _numbers([*singles, *joint], columns, scales) / units
    return KnownRuns(
        alphas=alphas,
        values=values,
        counts=alphas > 0 if surface.has_private_heads else np.full(values.shape, True),
        exact=np.arange(len(alphas)) < len(singles),
        noise=_sampling(surface, columns) / units,
        columns=tuple(_weight_column(surface, task) for task in columns),
    )


def _weight_column(surface: Surface, task: str) -> int | None:
    """Return the place of a task's own weight; None if the task is not mixed itself."""
    names = surface.weight_names
    return names.index(task_of(task)) if task_of(task) in names else None


def _fit_previews(
    key: tuple[Fidelity, str],
    rows: Sequence[Evaluation],
    weight_names: Sequence[str],
    columns: Mapping[str, str],
    scales: Sequence[Scale],
    units: Array,
) -> Previews:
    """Fit a process to the previews of one fidelity and method, in each task's units."""
    fidelity, method = key
    credit = METHOD_TABLE[method].credit if method in METHOD_TABLE else 1.0
    alphas = _alphas([row.weights for row in rows], weight_names)
    values = _numbers(rows, columns, scales) / units
    is_merged = fidelity == Fidelity.SHARPENED or method in METHOD_TABLE
    credit = _SHARPENED if fidelity == Fidelity.SHARPENED else credit
    return Previews.through(method, alphas, values, credit, is_merged=is_merged)


def _sampling(surface: Surface, columns: Mapping[str, str]) -> Array:
    """`[T]`, see `sampling_noise`."""
    return np.array([sampling_noise(columns[task], headline.examples) for task, headline in surface.headlines.items()])


def _values(rows: Sequence[Evaluation], columns: Mapping[str, str]) -> Array:
    """`[N, T]`, checked."""
    table = np.array([[row.metrics[task][name] for task, name in columns.items()] for row in rows]).reshape(
        len(rows), len(columns)
    )
    for place, column in np.argwhere(~np.isfinite(table))[:1]:
        row, (task, name) = rows[place], list(columns.items())[column]
        where = f"{row.fidelity} {row.label} at {row.weights}"
        raise StudyError(
            f"{name} of task {task!r} is {table[place, column]} in the row {where}; leave the row out or evaluate it"
            " again"
        )
    return table


def _numbers(rows: Sequence[Evaluation], columns: Mapping[str, str], scales: Sequence[Scale]) -> Array:
    return np.stack(
        [scale.forward(column) for scale, column in zip(scales, _values(rows, columns).T, strict=True)], axis=1
    )


def _alphas(points: Sequence[TaskWeights], tasks: Sequence[str]) -> Array:
    return np.array([[point[task] for task in tasks] for point in points]).reshape(len(points), len(tasks))


def _joint(rows: Sequence[Evaluation]) -> list[Evaluation]:
    return [row for row in rows if row.fidelity == Fidelity.JOINT and row.weights.corner is None]


def _singles(surface: Surface, rows: Sequence[Evaluation]) -> list[Evaluation]:
    """Joint runs at corners, and for a corner without one the preview that is nearest to being one."""
    trained = [row for row in rows if row.fidelity == Fidelity.JOINT and row.weights.corner]
    return trained + [
        row for row in replace(surface, rows=tuple(rows)).singles().values() if row.fidelity != Fidelity.JOINT
    ]


def _previewed(rows: Sequence[Evaluation], least: int) -> dict[tuple[Fidelity, str], list[Evaluation]]:
    """Rows by fidelity and method, where there are at least so many weightings.

    Of very many, those that are spread out.
    """
    groups: dict[tuple[Fidelity, str], list[Evaluation]] = {}
    for row in rows:
        if row.fidelity != Fidelity.JOINT:
            groups.setdefault((row.fidelity, row.label), []).append(row)
    return {key: _thinned(groups[key]) for key in sorted(groups) if len({row.weights for row in groups[key]}) >= least}


def _thinned(rows: Sequence[Evaluation]) -> list[Evaluation]:
    """Thin rows to `_MOST` weightings: more say nothing new of a smooth surface, and cost grows with their cube."""
    points = list(dict.fromkeys(row.weights for row in rows))
    chosen = set(
        points if len(points) <= _MOST else [*spread(points, _MOST), *(point for point in points if point.corner)]
    )
    return [row for row in rows if row.weights in chosen]


def _error(scale: Scale, predicted: Array, real: Array) -> float | None:
    return float(np.abs(scale.backward(predicted) - scale.backward(real)).mean()) if len(real) else None


def _basis(joint: int, singles: int, previewed: Sequence[tuple[Fidelity, str]]) -> str:
    methods = ", ".join(method for _, method in previewed)
    models, runs = (
        f"{count} {noun}{'s' if count != 1 else ''}"
        for count, noun in ((singles, "single-task model"), (joint, "joint run"))
    )
    have = [models if singles else "", f"previews ({methods})" if methods else ""]
    rest = " and ".join(part for part in have if part)
    if joint:
        return f"{runs}{', ' if rest else ''}{rest}"
    return f"only {rest}; without a joint run, the intervals rest on how far previews were off in other studies"
