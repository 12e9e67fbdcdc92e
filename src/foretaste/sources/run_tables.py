"""Tables of runs: CSV, JSON lines and Parquet files, data frames, data sets, and rows in memory."""

import csv
import importlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Protocol, runtime_checkable

from foretaste.errors import DataError, MissingExtra
from foretaste.one_line import one_line

__all__ = ["RunTable", "TableSource", "read_table"]

Cells = Mapping[str, object]
_EMPTY = ("", "nan", "na", "n/a", "null", "none")  # how tables write that a cell is empty


@runtime_checkable
class _Frame(Protocol):
    """A data frame of pandas, as far as it is used here."""

    @property
    def columns(self) -> Iterable[object]: ...

    def to_dict(self, orient: str, /) -> list[dict[object, object]]: ...


@runtime_checkable
class _Listing(Protocol):
    """A data set of the library ``datasets``."""

    def to_list(self) -> list[dict[str, object]]: ...


@runtime_checkable
class _PolarsFrame(Protocol):
    """A data frame of Polars."""

    def to_dicts(self) -> list[dict[str, object]]: ...


@runtime_checkable
class _ArrowTable(Protocol):
    """A table of Arrow."""

    def to_pylist(self) -> list[dict[str, object]]: ...


TableSource = str | Path | Sequence[Cells] | _Frame | _Listing | _PolarsFrame | _ArrowTable


@dataclass(frozen=True)
class RunTable:
    """A table, row by row.

    Args:
        name: Of the file, or what the table is.
        columns: Names of the columns, in order.
        rows: A place, such as ``line 7``, and the cells of each row; empty cells are left out.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, Cells], ...]

    __repr__ = one_line


def read_table(source: TableSource) -> RunTable:
    """Read a table of runs.

    Args:
        source: A path that ends in ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.parquet``, a data frame of pandas
            or Polars, a data set of the library ``datasets``, a table of Arrow, or a sequence of mappings.

    Raises:
        DataError: The file is missing, of another kind, or cannot be read; the line is named.
        MissingExtra: Parquet needs the extra ``hf``.

    >>> read_table([{"weight.a": 1.0, "f1": 0.5}]).columns
    ('weight.a', 'f1')
    """
    if isinstance(source, str | Path):
        return _read_file(Path(source))
    if isinstance(source, Mapping):
        raise DataError("a table needs rows: pass a list of mappings, or a data frame")
    if isinstance(source, _PolarsFrame):
        return _table("the data frame", source.to_dicts())
    if isinstance(source, _Frame):
        return _table("the data frame", source.to_dict("records"))
    if isinstance(source, _Listing):
        return _table("the data set", source.to_list())
    rows = source.to_pylist() if isinstance(source, _ArrowTable) else source
    if not all(isinstance(row, Mapping) for row in rows):
        raise DataError("a row of the table is no mapping; pass each run as a mapping from columns to cells")
    return _table("the table", rows)


def _table(name: str, rows: Iterable[Mapping[object, object] | Cells]) -> RunTable:
    """Make a table of rows that are counted from 1."""
    numbered = tuple((f"row {number}", _filled(row)) for number, row in enumerate(rows, 1))
    return RunTable(name, tuple(dict.fromkeys(column for _, row in numbered for column in row)), numbered)


def _filled(row: Mapping[object, object] | Cells) -> dict[str, object]:
    """Leave out empty cells: None, white space, and words that say so, such as NaN."""
    return {str(column).strip(): value for column, value in row.items() if not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return (
        value is None
        or (isinstance(value, str) and value.strip().lower() in _EMPTY)
        or (isinstance(value, Real) and math.isnan(value))
    )


def _read_file(path: Path) -> RunTable:
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is no table that can be read; its name must end in {', '.join(readers)}")
    try:
        table = reader(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 ({error.reason}); save it as UTF-8") from error
    if not table.rows:
        raise DataError(f"{path} has no rows")
    return table


def _csv(path: Path) -> RunTable:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        names = [name.strip() for name in reader.fieldnames or ()]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise DataError(f"{path} has two columns {repeated!r}; rename one")
        try:
            rows = tuple((f"line {reader.line_num}", _csv_cells(path, reader.line_num, row)) for row in reader)
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    return RunTable(path.name, tuple(names), rows)


def _csv_cells(path: Path, line: int, row: Mapping[str | None, object]) -> dict[str, object]:
    if None in row:
        raise DataError(f"{path}, line {line} has more cells than the first line names columns")
    return _filled({str(name): value for name, value in row.items()})


def _jsonl(path: Path) -> RunTable:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number} cannot be read as JSON: {error}") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}, line {number} is no object; write one run a line, as {{...}}")
        rows.append((f"line {number}", _filled(_flatten(value))))
    return RunTable(path.name, tuple(dict.fromkeys(column for _, row in rows for column in row)), tuple(rows))


def _flatten(value: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Name the cells of nested objects by their path, as in ``code.pass@1``."""
    cells: dict[str, object] = {}
    for name, inner in value.items():
        cells |= _flatten(inner, f"{prefix}{name}.") if isinstance(inner, dict) else {f"{prefix}{name}": inner}
    return cells


def _parquet(path: Path) -> RunTable:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:  # pragma: no cover - the tests install the extra
        raise MissingExtra("reading Parquet needs pyarrow; install it with: pip install 'foretaste[hf]'") from error
    try:
        rows: list[dict[str, object]] = parquet.read_table(path).to_pylist()
    except ValueError as error:
        raise DataError(f"{path} is no Parquet file: {error}") from error
    return _table(path.name, map(_flatten, rows))
