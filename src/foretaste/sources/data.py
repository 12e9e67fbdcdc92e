"""Rows from data files, folders of images or the hub, through Hugging Face datasets."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretaste.errors import DataError
from foretaste.one_line import one_line
from foretaste.sources.extra import datasets
from foretaste.sources.files import FORMATS, content_digest, read_folder, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LabelSet", "Part", "RawRows", "check_columns", "column", "label_set", "read_rows", "refuse", "rows_digest"]

Label = str | int
LabelSet = tuple[Label, ...]


def read_rows(where: str, split: str, most: int | None, *, quoted: bool = False) -> datasets.Dataset:
    """Read all rows of a data file, an image folder or a hub data set.

    Args:
        where: A path ending in .jsonl, .json, .csv, .tsv or .parquet; a folder of images by label; or a hub id.
        split: Split of a hub data set.
        most: Most rows to keep, drawn at random but always the same; None for all.
        quoted: Whether fields of a .tsv may stand in quotation marks.

    Raises:
        DataError: The data is missing, empty, unreadable, or of an unknown format.

    >>> read_rows("reviews.xlsx", "train", None)
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: reviews.xlsx is not a folder and its ending is not one of .jsonl, .json, .csv, .tsv,
    .parquet
    """
    path = Path(where)
    try:
        if path.is_dir():
            rows = read_folder(path)
        elif path.suffix in FORMATS:
            _require_file(path)
            rows = read_table(path, quoted=quoted)
        elif path.suffix or where.startswith((".", "/")) or where.count("/") > 1:
            raise DataError(f"{where} is not a folder and its ending is not one of {', '.join(FORMATS)}")
        else:
            rows = datasets.load_dataset(where, split=split)
    except DataError:
        raise
    except Exception as error:
        reason = _bad_line(path) or re.sub(r"(?<= in row )\d+", lambda place: str(int(place[0]) + 1), _innermost(error))
        problem = "has no rows" if "corresponds to no data" in reason else f"cannot be read as data: {reason}"
        raise DataError(f"{where} {problem}") from error
    if not len(rows):
        raise DataError(f"{where} has no rows")
    # Files are often sorted by label, so rows are taken from everywhere, the same ones every time.
    return rows if most is None else rows.shuffle(seed=0).select(range(min(most, len(rows))))


def _bad_line(path: Path) -> str | None:
    """Find the first line of a .jsonl that is not JSON; Arrow counts rows from 0, again in every part of a file."""
    if path.suffix != ".jsonl":
        return None
    try:
        with path.open("rb") as lines:
            for place, line in enumerate(lines, start=1):
                try:
                    if line.strip() and not isinstance(json.loads(line.strip()), dict):
                        return f"row {place} is not a JSON object"
                except json.JSONDecodeError as error:
                    return f"row {place} is no JSON ({error.msg}, column {error.colno})"
                except (ValueError, RecursionError) as error:
                    return f"row {place} is no JSON ({error})"
    except OSError:
        pass  # the reported error says so
    return None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} does not exist; relative paths start at the recipe's folder")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no details'}"


@dataclass(frozen=True)
class RawRows:
    """A task's rows as they were read, for exports of data.

    Args:
        train: Training rows, in the order of the task's training examples.
        validation: Validation rows, in the order of the task's validation examples.
        source: Absolute path or hub id of the training rows.
        whole: Whether these are all rows of the one file.
        columns: The columns that the recipe names, by role.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    source: str
    whole: bool
    columns: Mapping[str, str]

    __repr__ = one_line

    @classmethod
    def of(
        cls,
        rows: "Sequence[datasets.Dataset]",
        where: str,
        most: int | None,
        columns: Mapping[str, str],
        *,
        converted: bool = False,
    ) -> "RawRows":
        """Collect a task's training and validation rows.

        Args:
            rows: Training rows and validation rows.
            where: Path or hub id of the training rows.
            most: Most training rows to read; None for all.
            columns: The columns that the recipe names, by role.
            converted: Whether the rows have another form than in the file.
        """
        path = Path(where)
        source = str(path.resolve()) if path.exists() else where
        return cls(rows[0], rows[1], source, path.is_file() and most is None and not converted, dict(columns))

    @property
    def digest(self) -> str:
        """Hash the source of the training rows."""
        return rows_digest(self.source, self.train)


def rows_digest(where: str, rows: datasets.Dataset, *, quoted: bool = False) -> str:
    """Hash a file's bytes, or return the data set's own fingerprint if it is not one file.

    Args:
        where: Path or hub id.
        rows: The rows that were read there.
        quoted: The same option as of `read_rows`; it changes the digest of a .tsv with quotation marks.

    Raises:
        DataError: The file cannot be read.

    >>> import tempfile
    >>> rows = datasets.Dataset.from_dict({"label": [0, 1]})
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     rows_digest(file.name, rows)
    'e3b0c442...b855:2'
    """
    path = Path(where)
    if not path.exists():
        return str(rows._fingerprint)
    marks = ":unquoted" if path.suffix == ".tsv" and not quoted and _has_marks(path) else ""
    return f"{content_digest(path)}:{len(rows)}{marks}"


def _has_marks(path: Path) -> bool:
    with path.open("rb") as lines:
        return any(b'"' in line for line in lines)


@dataclass(frozen=True)
class Part:
    """The rows of one file of a task.

    Args:
        field: The recipe's field that names the file.
        where: The file's path or hub id.
        rows: The rows in the file.
    """

    field: tuple[str, ...]
    where: str
    rows: datasets.Dataset

    __repr__ = one_line


def check_columns(columns: Iterable[tuple[Part, Collection[str]]]) -> None:
    """Check that all files have the columns that will be read.

    Args:
        columns: Each file with the names of its columns.

    Raises:
        DataError: A file lacks a column; all missing columns are listed.

    >>> rows = datasets.Dataset.from_dict({"text": ["good"]})
    >>> check_columns([(Part(("tasks", "a", "train"), "a.csv", rows), ["txt", "label"])])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: a.csv has no columns 'txt', 'label'; it has text
    """
    faults = []
    for part, names in columns:
        absent = [repr(name) for name in dict.fromkeys(names) if name not in part.rows.column_names]
        if absent:
            columns_text = f"column{'s' if len(absent) > 1 else ''} {', '.join(absent)}"
            faults.append(
                (part.field, f"{part.where} has no {columns_text}; it has {', '.join(part.rows.column_names)}")
            )
    refuse(faults)


def refuse(faults: "Sequence[tuple[tuple[str, ...], str]]") -> None:
    """Raise one error for all faults; it names the recipe's field of the first.

    Args:
        faults: Field and message of each fault.

    Raises:
        DataError: There is a fault.

    >>> refuse([])
    """
    if faults:
        others = [f"{'.'.join(field)}: {message}" for field, message in faults[1:]]
        raise DataError("\n".join([faults[0][1], *others])).at(*faults[0][0])


def column(rows: datasets.Dataset, name: str, where: str) -> "Sequence[Any]":
    """Read one column, in which every row must have a value.

    Raises:
        DataError: There is no such column, it cannot be decoded, or a row has no value.

    >>> column(datasets.Dataset.from_dict({"text": ["good", "bad"]}), "text", "train.csv")
    ['good', 'bad']
    """
    if name not in rows.column_names:
        raise DataError(f"{where} has no column {name!r}; it has {', '.join(rows.column_names)}")
    try:
        values = rows[name][:]
    except Exception as error:
        raise DataError(f"column {name!r} of {where} cannot be decoded: {_innermost(error)}") from error
    for place, value in enumerate(values):
        if value is None:
            raise DataError(f"row {place + 1} of {where} has no value in column {name!r}; fill or remove it")
    return list(values)


def label_set(rows: datasets.Dataset, name: str, where: str) -> tuple[list[Label], LabelSet]:
    """Read the labels of all rows and their label set: the file's own list of names, or all labels that occur.

    Raises:
        DataError: A label is neither a text nor a whole number, or has no name in the file's list.

    >>> label_set(datasets.Dataset.from_dict({"label": ["pos", "neg", "pos"]}), "label", "train.csv")
    (['pos', 'neg', 'pos'], ('neg', 'pos'))
    """
    values = list(column(rows, name, where))
    feature = rows.features[name]
    if isinstance(feature, datasets.ClassLabel):
        return _class_names(values, feature.names, where), tuple(feature.names)
    for place, value in enumerate(values):
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise DataError(
                f"label {value!r} in row {place + 1} of {where} is neither text nor a whole number; name the label"
                " column with 'label'"
            )
    return values, tuple(sorted(set(values), key=lambda value: (isinstance(value, str), value)))


def _class_names(values: "Sequence[int]", names: list[str], where: str) -> list[Label]:
    """Look up the names of class numbers; public test splits have -1 where the label is secret."""
    for place, value in enumerate(values):
        if not 0 <= value < len(names):
            raise DataError(
                f"row {place + 1} of {where} has the label number {value}, which has no name; use a split with labels"
            )
    return [names[value] for value in values]
