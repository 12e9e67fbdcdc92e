"""The weights as data: a mixture that any trainer runs for one epoch, and a manifest of what is in it.

The rows are those that foretaste's joint run of as many examples sees, in its order (`foretaste.train.mixture`):
task t has the share ``p_t ∝ alpha_t / u_t`` of the rows, u_t being the mean units (1, or label tokens) of its rows, so
that a mean over units weighs the tasks by alpha. Counts are exact (largest remainders), every prefix is within one row
per task of its share, and each task's rows are reshuffled every time they are used up.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from foretaste.errors import DataError
from foretaste.export.columns import CHUNK, binary_columns, open_rows, table_of, unite_columns, weight_notes
from foretaste.export.folder import MANIFEST, new_folder
from foretaste.export.manifest import manifest_of
from foretaste.export.mixture_draw import MixturePlan, draw_rows, units_of
from foretaste.export.part import Part
from foretaste.export.settings import READABLE, Settings, Source, Trainer, WrittenMixture
from foretaste.export.trainer_checks import check_trainer
from foretaste.export.trainer_notes import notes
from foretaste.export.trainers import configuration
from foretaste.sources.extra import datasets, pa, pq
from foretaste.sources.formats import columns_of
from foretaste.task import Unit
from foretaste.weights import TaskWeights
from foretaste.whole import write_whole

__all__ = ["Format", "write_mixture"]

Format = Literal["parquet", "jsonl"]


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
    add_files: Callable[[Path], None] | None = None,
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
        add_files: Writes more files into the folder. Configurations then name files by their place in the folder, so
            that it can be moved.

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
    ...     manifest = write_mixture(Path(place, "mix"), parts, alpha, unit="example", rows=4, format="jsonl")
    ...     print(Path(place, "mix", "train.jsonl").read_text().splitlines()[2])
    {"task": "poems", "q": "A rose"}
    >>> {task: (facts["rows"], facts["repeats"]) for task, facts in manifest["tasks"].items()}
    {'sums': (3, 1.5), 'poems': (1, 1.0)}
    """
    for trainer in trainers:
        check_trainer(trainer, unit, settings)
    file = f"train.{format}"
    with new_folder(folder, overwrite=overwrite, keep=keep) as hidden:
        kind = settings.kind if trainers and settings else None
        plan = _plan_mixture(parts, weights, unit, rows, seed, kind, task_column)
        if format == "jsonl" and (binary := binary_columns(plan.features)):
            raise DataError(
                f"column {binary[0]!r} holds pictures, sounds or bytes, which JSON lines cannot; write format='parquet'"
            )
        manifest = manifest_of(parts, weights, plan, unit, seed, file)
        data = folder.resolve() / file if add_files is None else Path(file)
        manifest["trainers"] = _write_configurations(
            hidden, _describe_mixture(data, parts, plan, unit), trainers, settings
        )
        write_whole(hidden / file, lambda path: _write(path, plan, format))
        with (hidden / file).open("rb") as handle:
            manifest["sha256"] = hashlib.file_digest(handle, "sha256").hexdigest()
        (hidden / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if add_files is not None:
            add_files(hidden)
    return manifest


def _plan_mixture(
    parts: Mapping[str, Part],
    weights: TaskWeights,
    unit: Unit,
    rows: int,
    seed: int,
    kind: str | None,
    task_column: str,
) -> MixturePlan:
    if rows < 1:
        raise DataError(f"a mixture of {rows} rows was asked for; it needs at least 1")
    opens = {name: open_rows(part.rows, {}, f"task {name}") for name, part in parts.items()}
    units = {name: units_of(name, part, len(opens[name]), unit) for name, part in parts.items()}
    draw = draw_rows(units, weights, unit, rows, seed)
    drawn = [name for name in parts if len(draw.of(name))]
    roles = {name: {} if kind is None else _roles(kind, name, parts[name], opens[name]) for name in drawn}
    if len({tuple(sorted(columns)) for columns in roles.values()}) > 1:
        listing = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in roles.items())
        raise DataError(
            f"trainers read rows of one format from one file, and tasks have several ({listing}); give all tasks one"
            " format"
        )
    renamed = {
        name: open_rows(opens[name], {column: role for role, column in columns.items()}, f"task {name}")
        for name, columns in roles.items()
    }
    features, notes = unite_columns({name: columns.features for name, columns in renamed.items()})
    notes += [note for name, columns in renamed.items() for note in weight_notes(name, columns)]
    if task_column in features:
        raise DataError(
            f"the data have a column {task_column!r} already; give the column that says the task another name"
            " (task_column)"
        )
    return MixturePlan(draw, units, renamed, roles, features, notes, task_column)


def _write_configurations(
    folder: Path, mixed: WrittenMixture, trainers: Sequence[Trainer], settings: Settings | None
) -> dict[str, object]:
    """Write trainers' configurations; what the manifest says of each."""
    summary: dict[str, object] = {}
    for trainer in trainers:
        assert settings is not None
        files = configuration(trainer, mixed, settings)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        summary[trainer] = {"files": list(files), "notes": list(notes(trainer, mixed, settings))}
    return summary


def _roles(kind: str, name: str, part: Part, rows: "datasets.Dataset") -> dict[str, str]:
    return columns_of(kind, part.columns, rows.column_names, part.source or f"task {name}")


def _describe_mixture(data: Path, parts: Mapping[str, Part], plan: MixturePlan, unit: Unit) -> WrittenMixture:
    """The mixture as trainers see it."""
    drawn = {name: plan.draw.of(name) for name in plan.rows}
    files = {name: Path(parts[name].source).resolve() for name in drawn if parts[name].whole}
    readable = len(files) == len(drawn) and all(file.is_file() and file.suffix in READABLE for file in files.values())
    return WrittenMixture(
        data,
        unit,
        tuple(next(iter(plan.roles.values()))),
        (plan.task_column, *plan.features),
        {name: len(indices) for name, indices in drawn.items()},
        {name: int(plan.units[name][indices].sum()) for name, indices in drawn.items()},
        {name: Source(file, plan.roles[name]) for name, file in files.items()} if readable else {},
    )


def _write(path: Path, plan: MixturePlan, format: Format) -> None:  # noqa: A002
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


def _chunk(plan: MixturePlan, part: slice) -> pa.Table:
    """A stretch of the mixture."""
    tasks, indices = plan.draw.tasks[part], plan.draw.indices[part]
    tables, places = [], []
    for code in np.unique(tasks):
        places_of_task, name = np.flatnonzero(tasks == code), plan.draw.names[code]
        table = table_of(plan.rows[name], indices[places_of_task].tolist(), plan.features)
        tables.append(table.add_column(0, plan.task_column, pa.array([name] * len(places_of_task), pa.string())))
        places.append(places_of_task)
    return pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(places))))


def _lines(table: pa.Table) -> Iterator[str]:
    for row in table.to_pylist():
        try:
            yield json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) + "\n"
        except ValueError as error:
            raise DataError("a row holds NaN or infinity, which JSON lines cannot; write format='parquet'") from error
