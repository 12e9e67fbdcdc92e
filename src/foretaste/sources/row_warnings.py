"""Warnings about rows that can be used, but make a study's numbers worth less than they seem."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from foretaste.one_line import one_line
from foretaste.sources.extra import datasets
from foretaste.sources.files import FORMATS, lines_warning, read_table

__all__ = ["Cut", "TaskRows", "count_shared", "cut_warning", "file_warnings", "overlap_warnings", "row_digests"]

_CHUNK = 1000


@dataclass(frozen=True)
class TaskRows:
    """What a task's model is fed, for looking at rows that are in several places.

    Args:
        train: Training rows.
        validation: Validation rows.
        columns: That the model is fed.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    columns: Sequence[str]

    __repr__ = one_line


@dataclass(frozen=True)
class Cut:
    """How many rows do not fit into the most tokens.

    Args:
        rows: Rows that are cut.
        count: All rows.
        longest: Tokens of the longest row, before it is cut.
    """

    rows: int
    count: int
    longest: int


def overlap_warnings(tasks: Mapping[str, TaskRows]) -> tuple[str, ...]:
    """A warning for each task whose training rows say what a validation row says, its own or another task's.

    Args:
        tasks: By name.

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
    """Hash each row: pictures and sounds by their files' bytes, classes by their names.

    Args:
        rows: All rows.
        columns: The columns that count, in this order, whatever their names.

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
    """A column's values, class numbers as the names that the file gives them."""
    kind = rows.features[name]
    if not isinstance(kind, datasets.ClassLabel):
        return values
    return [kind.names[value] if isinstance(value, int) and value >= 0 else None for value in values]


def _bytes_of(value: object) -> object:
    """A picture's content; any other value as it is, and a picture that is not a file by its address."""
    if not isinstance(value, dict) or set(value) != {"bytes", "path"}:
        return value
    try:
        return hashlib.sha256(
            Path(value["path"]).read_bytes() if value["bytes"] is None else value["bytes"]
        ).hexdigest()
    except (OSError, TypeError):
        return value["path"]


def cut_warning(task: str, part: str, cut: Cut, max_length: int) -> tuple[str, ...]:
    """A warning of rows that do not fit into the most tokens.

    Args:
        task: Name of the task that has the rows.
        part: Training or validation.
        cut: How many.
        max_length: The most tokens.

    >>> cut_warning("news", "training", Cut(3, 12, 700), 128)
    ("3 of 12 training rows of task 'news' (25 %) are cut to max_length 128; the longest has 700 tokens",)
    """
    if not cut.rows:
        return ()
    percent = 100 * cut.rows / cut.count
    share = f"{percent:.0f} %" if percent >= 1 else "under 1 %"
    finding = f"{cut.rows} of {cut.count} {part} rows of task {task!r} ({share}) are cut to max_length {max_length}"
    return (f"{finding}; the longest has {cut.longest} tokens",)


def file_warnings(where: str, rows: datasets.Dataset, most: int | None, *, quoted: bool = False) -> tuple[str, ...]:
    """A warning where a CSV or TSV file has another number of rows than of lines.

    Args:
        where: Path or hub id.
        rows: As `read_rows` gave them.
        most: At most so many were taken.
        quoted: Whether fields of a .tsv file may stand in quotation marks.

    >>> file_warnings("organisation/news", datasets.Dataset.from_dict({"text": ["a"]}), None)
    ()
    """
    path = Path(where)
    if FORMATS.get(path.suffix) != "csv":
        return ()
    return lines_warning(path, len(rows) if most is None else len(read_table(path, quoted=quoted)))
