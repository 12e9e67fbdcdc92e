"""The weights as data: a mixture that any trainer runs for one epoch, and a manifest of what is in it.

The rows are those that foretaste's joint run of as many examples sees, in its order (`foretaste.train.mixture`):
task t has the share ``p_t ∝ alpha_t / u_t`` of the rows, u_t being the mean units (1, or label tokens) of its rows, so
that a mean over units weighs the tasks by alpha. Counts are exact (largest remainders), every prefix is within one row
per task of its share, and each task's rows are reshuffled every time they are used up.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from foretaste import __version__
from foretaste.errors import DataError
from foretaste.export.columns import CHUNK, binary_columns, opened, table_of, united, weight_notes
from foretaste.export.folder import MANIFEST, new_folder
from foretaste.export.part import Part
from foretaste.export.settings import READABLE, Mixed, Settings, Source, Trainer
from foretaste.export.trainer_notes import notes
from foretaste.export.trainers import check, configuration
from foretaste.lazy import lazy
from foretaste.metrics import METRICS
from foretaste.sources.extra import datasets
from foretaste.sources.formats import columns_of
from foretaste.sources.row_warnings import count_shared, row_digests
from foretaste.task import Example, Task, Unit
from foretaste.train.mixture import mixture
from foretaste.weights import TaskWeights
from foretaste.whole import written_whole

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]
else:
    pa, pq = lazy("pyarrow"), lazy("pyarrow.parquet")  # they come with datasets

__all__ = ["Format", "LeakWarning", "write_mixture"]

Format = Literal["parquet", "jsonl"]


class LeakWarning(UserWarning):
    """A training row is a validation row too."""


@dataclass(frozen=True)
class _Units:
    """Stands for a task's examples where only their number and their label tokens matter."""

    counts: Sequence[int]

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int, /) -> Example:
        return {"labels": torch.zeros(self.counts[index], dtype=torch.uint8)}


@dataclass(frozen=True)
class _Draw:
    """Rows in order: the place of each one's task, and its index in the task."""

    names: tuple[str, ...]
    tasks: NDArray[np.int32]
    indices: NDArray[np.int64]

    def of(self, task: str) -> NDArray[np.int64]:
        """Indices of one task's rows."""
        found: NDArray[np.int64] = self.indices[self.tasks == self.names.index(task)]
        return found


@dataclass(frozen=True)
class _Plan:
    """What will be written: the draw, each drawn task's rows, all columns, and what to say of them."""

    draw: _Draw
    units: Mapping[str, NDArray[np.int64]]
    rows: Mapping[str, "datasets.Dataset"]
    roles: Mapping[str, Mapping[str, str]]
    features: "datasets.Features"
    notes: Sequence[str]
    task_column: str


def write_mixture(
    folder: Path,
    parts: Mapping[str, Part],
    weights: TaskWeights,
    *,
    unit: Unit,
    rows: int,
    seed: int = 0,
    format: Format = "parquet",  # noqa: A002 - the word for it
    trainers: Sequence[Trainer] = (),
    settings: Settings | None = None,
    task_column: str = "task",
    overwrite: bool = False,
    keep: Mapping[str, Path] | None = None,
) -> dict[str, object]:
    """Write a folder with ``train.parquet`` (or ``.jsonl``), ``manifest.json`` and other trainers' configurations.

    Args:
        folder: The folder to be; it is there when it is complete, and not before.
        parts: By task, in the order of the weights.
        weights: alpha; rows of tasks of weight 0 are not written.
        unit: What alpha's losses are means over.
        rows: To write, over all tasks. foretaste's joint run has steps times batch size.
        seed: Shuffles; that of the joint run gives its order.
        format: ``parquet`` keeps every type; ``jsonl`` is for trainers that read no other.
        trainers: To be configured. Their columns are then written by the names of what they are.
        settings: The model and how to train; needed for trainers.
        task_column: Name of the column that says the task.
        overwrite: Whether a folder that foretaste wrote is replaced, when the new one is complete.
        keep: What is never replaced, see `new_folder`.

    Returns:
        The manifest.

    Raises:
        WeightsError: Other tasks in the weights.
        DataError: Columns that do not go together, or something else in the rows that cannot be written.
        TaskError: A trainer that cannot train this.
        StorageError: The folder exists, or the disk refuses.

    >>> import tempfile
    >>> parts = {"sums": Part([{"q": "2 + 2?"}, {"q": "3 + 3?"}]), "poems": Part([{"q": "A rose"}])}
    >>> alpha = TaskWeights(("sums", "poems"), (0.75, 0.25))
    >>> with tempfile.TemporaryDirectory() as place:
    ...     made = write_mixture(Path(place, "mix"), parts, alpha, unit="example", rows=4, format="jsonl")
    ...     print(Path(place, "mix", "train.jsonl").read_text().splitlines()[2])
    {"task": "poems", "q": "A rose"}
    >>> {task: (found["rows"], found["repeats"]) for task, found in made["tasks"].items()}
    {'sums': (3, 1.5), 'poems': (1, 1.0)}
    """
    for trainer in trainers:
        check(trainer, unit, settings)
    file = f"train.{format}"
    with new_folder(folder, overwrite=overwrite, keep=keep) as hidden:
        kind = settings.kind if trainers and settings else None
        plan = _planned(parts, weights, unit, rows, seed, kind, task_column)
        if format == "jsonl" and (found := binary_columns(plan.features)):
            raise DataError(f"column {found[0]!r} holds pictures, sounds or bytes, which JSON lines cannot; write format='parquet'")
        manifest = _manifest(parts, weights, plan, unit, seed, file)
        manifest["trainers"] = _configured(hidden, _mixed(folder.resolve() / file, parts, plan, unit), trainers, settings)
        written_whole(hidden / file, lambda path: _write(path, plan, format))
        with (hidden / file).open("rb") as handle:
            manifest["sha256"] = hashlib.file_digest(handle, "sha256").hexdigest()
        (hidden / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _planned(
    parts: Mapping[str, Part], weights: TaskWeights, unit: Unit, rows: int, seed: int, kind: str | None, task_column: str
) -> _Plan:
    if rows < 1:
        raise DataError(f"a mixture of {rows} rows was asked for; it needs at least 1")
    opens = {name: opened(part.rows, {}, f"task {name}") for name, part in parts.items()}
    units = {name: _units(name, part, len(opens[name]), unit) for name, part in parts.items()}
    draw = _drawn(units, weights, unit, rows, seed)
    drawn = [name for name in parts if len(draw.of(name))]
    roles = {name: {} if kind is None else _roles(kind, name, parts[name], opens[name]) for name in drawn}
    if len({tuple(sorted(each)) for each in roles.values()}) > 1:
        found = "; ".join(f"{name}: {', '.join(each)}" for name, each in roles.items())
        raise DataError(f"trainers read rows of one format from one file, and tasks have several ({found}); bring all tasks to one")
    renamed = {name: opened(opens[name], {column: role for role, column in each.items()}, f"task {name}") for name, each in roles.items()}
    features, notes = united({name: each.features for name, each in renamed.items()})
    notes += [note for name, each in renamed.items() for note in weight_notes(name, each)]
    if task_column in features:
        raise DataError(f"the data have a column {task_column!r} already; give the column that says the task another name (task_column)")
    return _Plan(draw, units, renamed, roles, features, notes, task_column)


def _configured(folder: Path, mixed: Mixed, trainers: Sequence[Trainer], settings: Settings | None) -> dict[str, object]:
    """Write trainers' configurations; what the manifest says of each."""
    found: dict[str, object] = {}
    for trainer in trainers:
        assert settings is not None
        made = configuration(trainer, mixed, settings)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
        found[trainer] = {"files": list(made), "notes": list(notes(trainer, mixed, settings))}
    return found


def _units(name: str, part: Part, rows: int, unit: Unit) -> NDArray[np.int64]:
    """Units of each row."""
    if unit == "example":
        return np.ones(rows, dtype=np.int64)
    if part.units_per_row is None:
        raise DataError(f"alpha is of tokens, and task {name} does not say how many label tokens its rows have; give units_per_row")
    found = np.asarray(part.units_per_row, dtype=np.int64)
    if found.shape != (rows,) or (found < 0).any() or not found.any():
        raise DataError(f"units_per_row of task {name} must be {rows} numbers of at least 0, one for each row, and not all 0")
    return found


def _drawn(units: Mapping[str, NDArray[np.int64]], weights: TaskWeights, unit: Unit, rows: int, seed: int) -> _Draw:
    """What the joint run draws, one row a step, so that the order within its steps is seen."""
    examples = {name: _Units(counts.tolist()) for name, counts in units.items()}
    tasks = [Task(name, each, each, (METRICS["accuracy"],), unit=unit) for name, each in examples.items()]
    plan = mixture(tasks, weights, rows, 1, torch.Generator().manual_seed(seed))
    names = tuple(units)
    places = {name: place for place, name in enumerate(names)}
    codes = np.fromiter((places[portion.task] for (portion,) in plan), np.int32, rows)
    return _Draw(names, codes, np.fromiter((portion.indices[0] for (portion,) in plan), np.int64, rows))


def _roles(kind: str, name: str, part: Part, rows: "datasets.Dataset") -> dict[str, str]:
    return columns_of(kind, part.columns, rows.column_names, part.source or f"task {name}")


def _mixed(data: Path, parts: Mapping[str, Part], plan: _Plan, unit: Unit) -> Mixed:
    """The mixture as trainers see it."""
    drawn = {name: plan.draw.of(name) for name in plan.rows}
    files = {name: Path(parts[name].source).resolve() for name in drawn if parts[name].whole}
    readable = len(files) == len(drawn) and all(file.is_file() and file.suffix in READABLE for file in files.values())
    return Mixed(
        data,
        unit,
        tuple(next(iter(plan.roles.values()))),
        (plan.task_column, *plan.features),
        {name: len(indices) for name, indices in drawn.items()},
        {name: int(plan.units[name][indices].sum()) for name, indices in drawn.items()},
        {name: Source(file, plan.roles[name]) for name, file in files.items()} if readable else {},
    )


def _manifest(parts: Mapping[str, Part], weights: TaskWeights, plan: _Plan, unit: Unit, seed: int, file: str) -> dict[str, object]:
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
    warned = [
        f"rows of task {name} that are both training and validation rows: {found}; remove them from one of the two"
        for name, found in leaking.items()
        if found
    ]
    for text in warned:
        warnings.warn(text, LeakWarning, stacklevel=3)
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
    over = "examples (of a sequence, its own mean)" if unit == "example" else "label tokens, all of a step's rows together"
    return (
        f"Train one epoch on {file}, in its order, with losses that are means over {over}: tasks then count as 'weights' says. "
        f"These are the rows, in the order, of foretaste's joint run with seed {seed} and steps x batch_size = {rows}. Shuffling keeps "
        "the shares of the whole, though not of every stretch of it; do not deduplicate, filter, split or rebalance it."
    )


def _leaking(part: Part) -> int | None:
    """How many training rows are validation rows too; None if that cannot be said."""
    if part.validation is None:
        return None
    train, validation = opened(part.rows, {}, "training rows"), opened(part.validation, {}, "validation rows")
    if not set(train.column_names) <= set(validation.column_names):
        return None
    return count_shared(row_digests(train, train.column_names), set(row_digests(validation, train.column_names)))


def _write(path: Path, plan: _Plan, format: Format) -> None:  # noqa: A002
    schema = datasets.Features({plan.task_column: datasets.Value("string"), **plan.features}).arrow_schema
    tables = (_chunk(plan, slice(start, start + CHUNK)) for start in range(0, len(plan.draw.indices), CHUNK))
    if format == "parquet":
        with pq.ParquetWriter(path, schema) as writer:
            for table in tables:
                writer.write_table(table)
        return
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for table in tables:
            handle.writelines(_lines(table))


def _chunk(plan: _Plan, part: slice) -> "pa.Table":
    """A stretch of the mixture."""
    tasks, indices = plan.draw.tasks[part], plan.draw.indices[part]
    tables, places = [], []
    for code in np.unique(tasks):
        here, name = np.flatnonzero(tasks == code), plan.draw.names[code]
        found = table_of(plan.rows[name], indices[here].tolist(), plan.features)
        tables.append(found.add_column(0, plan.task_column, pa.array([name] * len(here), pa.string())))
        places.append(here)
    return pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(places))))


def _lines(table: "pa.Table") -> Iterator[str]:
    for row in table.to_pylist():
        try:
            yield json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) + "\n"
        except ValueError as error:
            raise DataError("a row holds NaN or infinity, which JSON lines cannot; write format='parquet'") from error
