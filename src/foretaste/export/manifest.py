"""The manifest of a mixture: what its rows mean, where they come from, and what to mind."""

import warnings
from collections.abc import Mapping

from foretaste import __version__
from foretaste.export.columns import open_rows
from foretaste.export.mixture_draw import MixturePlan
from foretaste.export.part import Part
from foretaste.sources.extra import datasets, pa
from foretaste.sources.row_warnings import count_shared, row_digests
from foretaste.task import Unit
from foretaste.weights import TaskWeights

__all__ = ["LeakWarning", "manifest_of"]


class LeakWarning(UserWarning):
    """A training row is a validation row too."""


def manifest_of(
    parts: Mapping[str, Part], weights: TaskWeights, plan: MixturePlan, unit: Unit, seed: int, file: str
) -> dict[str, object]:
    """Say what a mixture is: shares, counts, sources, meaning, and rows that are training and validation rows.

    Args:
        parts: By task, its rows.
        weights: alpha.
        plan: What was drawn.
        unit: What losses are means over.
        seed: Of the draw.
        file: Name of the mixture's file.

    Warns:
        LeakWarning: A training row is a validation row too.
    """
    drawn = {name: plan.draw.of(name) for name in parts}
    units = {name: int(plan.units[name][indices].sum()) for name, indices in drawn.items()}
    rows, total = len(plan.draw.indices), sum(units.values())
    leaking = {name: _leaking(part) for name, part in parts.items() if name in plan.rows}
    tasks = {
        name: {
            "alpha": weights[name],
            "rows_available": len(plan.units[name]),
            "rows": len(drawn[name]),
            "repeats": len(drawn[name]) / len(plan.units[name]),
            "units": units[name],
            "share_of_rows": len(drawn[name]) / rows,
            "share_of_units": units[name] / max(total, 1),
            "source": part.source,
            "digest": part.digest,
            "columns": dict(plan.roles.get(name, {})),
            "rows_also_in_validation": leaking.get(name),
        }
        for name, part in parts.items()
    }
    warned = _warn_of_leaks(leaking)
    return {
        "file": file,
        "meaning": _meaning(file, unit, rows, seed),
        "weights": dict(weights.items()),
        "unit": unit,
        "seed": seed,
        "rows": rows,
        "tasks": tasks,
        "task_column": plan.task_column,
        "columns": {name: str(kind) for name, kind in plan.features.items()},
        "notes": list(plan.notes),
        "warnings": warned,
        "versions": {"foretaste": __version__, "datasets": datasets.__version__, "pyarrow": pa.__version__},
    }


def _meaning(file: str, unit: Unit, rows: int, seed: int) -> str:
    over = (
        "examples (of a sequence, its own mean)" if unit == "example" else "label tokens, all of a step's rows together"
    )
    return (
        f"Train one epoch on {file}, in its order, with losses that are means over {over}: tasks then count as"
        f" 'weights' says. These are the rows, in the order, of foretaste's joint run with seed {seed} and steps x"
        f" batch_size = {rows}. Shuffling keeps the shares of the whole, though not of every stretch of it; do not"
        " deduplicate, filter, split or rebalance it."
    )


def _leaking(part: Part) -> int | None:
    """How many training rows are validation rows too; None if that cannot be said."""
    if part.validation is None:
        return None
    train, validation = open_rows(part.rows, {}, "training rows"), open_rows(part.validation, {}, "validation rows")
    if not set(train.column_names) <= set(validation.column_names):
        return None
    return count_shared(row_digests(train, train.column_names), set(row_digests(validation, train.column_names)))


def _warn_of_leaks(leaking: Mapping[str, int | None]) -> list[str]:
    """Warn of rows that are both training and validation rows, by task; returns the warnings."""
    texts = [
        f"rows of task {name} that are both training and validation rows: {count}; remove them from one of the two"
        for name, count in leaking.items()
        if count
    ]
    for text in texts:
        warnings.warn(text, LeakWarning, stacklevel=4)
    return texts
