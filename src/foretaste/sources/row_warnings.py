"""Warnings about rows that can be used, but distort a study's numbers."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from foretaste.one_line import one_line
from foretaste.sources.extra import datasets
from foretaste.sources.files import FORMATS, lines_warning, read_table
from foretaste.sources.tokens import EncodedRows

__all__ = [
    "Cut",
    "TaskRows",
    "count_shared",
    "cut_of",
    "cut_warning",
    "file_warnings",
    "overlap_warnings",
    "row_digests",
]

_CHUNK = 1000


@dataclass(frozen=True)
class TaskRows:
    """A task's rows with the columns that its model reads, to find rows that occur twice.

    Args:
        train: Training rows.
        validation: Validation rows.
        columns: Names of the columns that the model reads.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    columns: Sequence[str]

    __repr__ = one_line


@dataclass(frozen=True)
class Cut:
    """The number of rows that are cut to the most tokens.

    Args:
        rows: Number of rows that are cut.
        count: Number of all rows.
        longest: Tokens of the longest row, before it is cut.
        lost: Learned tokens that are cut off.
    """

    rows: int
    count: int
    longest: int
    lost: int = 0


def cut_of(examples: EncodedRows) -> Cut:
    """Count the rows of language data that are cut.

    >>> from foretaste.sources.tokens import Row
    >>> cut_of(EncodedRows([Row([5], [6], length=2), Row([5], [6], cut=True, length=9, lost=3)]))
    Cut(rows=1, count=2, longest=9, lost=3)
    """
    rows = examples.rows
    return Cut(sum(row.cut for row in rows), len(rows), max(row.length for row in rows), sum(row.lost for row in rows))


def overlap_warnings(tasks: Mapping[str, TaskRows]) -> tuple[str, ...]:
    """Warn of every task whose training rows are also validation rows, of the task itself or another.

    Args:
        tasks: Rows by task.

    >>> train, validation = (datasets.Dataset.from_dict({"text": texts}) for texts in (["a", "b", "a"], ["c", "a"]))
    >>> overlap_warnings({"news": TaskRows(train, validation, ["text"])})
    ("2 of 3 training rows of task 'news' are in its validation data too: its metrics look better than they are; remove
    them from one",)
    """
    validation = {name: set(row_digests(rows.validation, rows.columns)) for name, rows in tasks.items()}
    warnings = []
    for name, rows in tasks.items():
        train = list(row_digests(rows.train, rows.columns))
        counts = {other: count_shared(train, digests) for other, digests in validation.items()}
        for other, count in sorted(counts.items(), key=lambda pair: pair[0] != name):
            if not count:
                continue
            finding = f"{count} of {len(rows.train)} training rows of task {name!r} are in"
            advice = "look better than they are; remove them from one"
            if other == name:
                warnings.append(f"{finding} its validation data too: its metrics {advice}")
            else:
                warnings.append(
                    f"{finding} the validation data of task {other!r}: after joint runs the metrics of {other!r}"
                    f" {advice}"
                )
    return tuple(warnings)


def count_shared(train: Iterable[bytes], validation: Set[bytes]) -> int:
    """Count the training rows that are validation rows too, by their digests.

    >>> count_shared([b"a", b"b", b"a"], {b"a"})
    2
    """
    return sum(digest in validation for digest in train)


def row_digests(rows: datasets.Dataset, columns: Sequence[str]) -> Iterator[bytes]:
    """Hash each row: images and sounds by their files' bytes, classes by their names.

    Args:
        rows: The rows.
        columns: The columns to hash, in this order; their names do not matter.

    >>> one, other = datasets.Dataset.from_dict({"text": ["a"]}), datasets.Dataset.from_dict({"sentence": ["a"]})
    >>> list(row_digests(one, ["text"])) == list(row_digests(other, ["sentence"]))
    True
    """
    rows = rows.with_format(None)
    for name in columns:
        if isinstance(kind := rows.features[name], datasets.Image | datasets.Audio):
            rows = rows.cast_column(name, type(kind)(decode=False))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        for values in zip(*(_class_names(rows, name, part[name]) for name in columns), strict=True):
            text = json.dumps([_bytes_of(value) for value in values], sort_keys=True, default=repr)
            yield hashlib.sha256(text.encode()).digest()


def _class_names(rows: datasets.Dataset, name: str, values: Sequence[object]) -> Sequence[object]:
    """Return a column's values, with class numbers replaced by the file's names of them."""
    kind = rows.features[name]
    if not isinstance(kind, datasets.ClassLabel):
        return values
    return [kind.names[value] if isinstance(value, int) and value >= 0 else None for value in values]


def _bytes_of(value: object) -> object:
    """Return the hash of an image's content, or its address if it is not a file; any other value as it is."""
    if not isinstance(value, dict) or set(value) != {"bytes", "path"}:
        return value
    try:
        return hashlib.sha256(
            Path(value["path"]).read_bytes() if value["bytes"] is None else value["bytes"]
        ).hexdigest()
    except (OSError, TypeError):
        return value["path"]


def cut_warning(task: str, part: str, cut: Cut, max_length: int) -> tuple[str, ...]:
    """Warn of rows that are cut to the most tokens.

    Args:
        task: The task's name.
        part: Training or validation.
        cut: The number of rows.
        max_length: Most tokens of a row.

    >>> cut_warning("news", "training", Cut(3, 12, 700), 128)
    ("3 of 12 training rows of task 'news' (25 %) are cut to max_length 128; the longest has 700 tokens",)
    """
    if not cut.rows:
        return ()
    percent = 100 * cut.rows / cut.count
    share = f"{percent:.0f} %" if percent >= 1 else "under 1 %"
    finding = f"{cut.rows} of {cut.count} {part} rows of task {task!r} ({share}) are cut to max_length {max_length}"
    lost = f", and {cut.lost} learned tokens are cut off" if cut.lost else ""
    return (f"{finding}; the longest has {cut.longest} tokens{lost}",)


def file_warnings(where: str, rows: datasets.Dataset, most: int | None, *, quoted: bool = False) -> tuple[str, ...]:
    """Warn if a CSV or TSV file has another number of rows than of lines.

    Args:
        where: Path or hub id.
        rows: Rows from `read_rows`.
        most: Most rows that were read; None for all.
        quoted: Whether fields of a .tsv file may stand in quotation marks.

    >>> file_warnings("organisation/news", datasets.Dataset.from_dict({"text": ["a"]}), None)
    ()
    """
    path = Path(where)
    if FORMATS.get(path.suffix) != "csv":
        return ()
    return lines_warning(path, len(rows) if most is None else len(read_table(path, quoted=quoted)))
