"""Rows of several tasks as Arrow tables of one schema, a chunk at a time.

Columns are united: what a task lacks is null in its rows. Where tasks number their classes differently, the
names of the classes are kept in place of their numbers.
"""

from collections.abc import Mapping, Sequence

from foretaste.errors import DataError
from foretaste.sources.extra import datasets, pa, pc

__all__ = ["CHUNK", "binary_columns", "open_rows", "table_of", "unite_columns", "weight_notes"]

CHUNK = 1000


def open_rows(
    rows: "datasets.Dataset | Sequence[Mapping[str, object]]", renamed: Mapping[str, str], owner: str
) -> "datasets.Dataset":
    """Open rows as a data set that returns Arrow tables.

    Args:
        rows: A data set, or mappings by column, N of them; columns may be missing in some.
        renamed: New name by old name.
        owner: Names the rows in errors.

    Raises:
        DataError: No rows, a column whose values are of several types, or two columns of one name.

    >>> dataset = open_rows([{"q": "2 + 2?"}, {"q": "3 + 3?", "a": "6"}], {"q": "prompt"}, "task sums")
    >>> dataset[:].to_pylist()
    [{'prompt': '2 + 2?', 'a': None}, {'prompt': '3 + 3?', 'a': '6'}]
    """
    dataset = rows if isinstance(rows, datasets.Dataset) else _from_mappings(rows, owner)
    if not len(dataset):
        raise DataError(f"{owner} has no rows")
    changed = {old: new for old, new in renamed.items() if old != new}
    for old, new in changed.items():
        if new in dataset.column_names and new not in changed:
            raise DataError(
                f"column {old!r} of {owner} would be written as {new!r}, which it has already; rename or remove one of"
                " them"
            )
    return (dataset.rename_columns(changed) if changed else dataset).with_format("arrow")


def _from_mappings(rows: Sequence[Mapping[str, object]], owner: str) -> "datasets.Dataset":
    values: dict[str, list[object]] = {name: [] for row in rows for name in row}
    for row in rows:
        for name, column in values.items():
            column.append(row.get(name))
    for name, column in values.items():
        try:
            datasets.Dataset.from_dict({name: column})
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
            raise DataError(
                f"column {name!r} of {owner} has values of several types: {error}; give them one type"
            ) from error
    return datasets.Dataset.from_dict(values)


def unite_columns(features: Mapping[str, "datasets.Features"]) -> tuple["datasets.Features", list[str]]:
    """Unite the columns of all tasks, with notes on what that changes.

    Args:
        features: Columns and their types by task.

    Raises:
        DataError: A column is of types that do not go together.

    >>> text, number = datasets.Value("string"), datasets.Value("int64")
    >>> columns, notes = unite_columns({"a": datasets.Features(x=text, y=number), "b": datasets.Features(x=text)})
    >>> list(columns), notes
    (['x', 'y'], ["column 'y' is null in rows of b, which lack it"])
    """
    columns, notes = {}, []
    for name in dict.fromkeys(column for columns_of_task in features.values() for column in columns_of_task):
        kinds = {task: columns_of_task[name] for task, columns_of_task in features.items() if name in columns_of_task}
        columns[name], type_notes = _unite_types(name, kinds)
        lacking = [task for task in features if task not in kinds]
        notes += type_notes + (
            [f"column {name!r} is null in rows of {', '.join(lacking)}, which lack it"] if lacking else []
        )
    return datasets.Features(columns), notes


def weight_notes(task: str, rows: "datasets.Dataset") -> list[str]:
    """Write a note where chats have answers of weight 0, which the joint run does not learn and other trainers may.

    Args:
        task: Whose rows they are.
        rows: As `open_rows` gives them.

    >>> chat = [{"role": "user", "content": "a", "weight": 1}, {"role": "assistant", "content": "b", "weight": 0}]
    >>> [note.split(" (")[0] for note in weight_notes("a", open_rows([{"messages": chat}], {}, "a"))]
    ['rows of a have answers of weight 0']
    """
    if "messages" not in rows.features or "weight" not in str(rows.features["messages"]):
        return []
    chats = rows.with_format(None).select_columns(["messages"])
    if not any(
        message.get("weight") == 0 and message.get("role") == "assistant"
        for row in chats
        for message in row["messages"] or ()
    ):
        return []
    return [
        f"rows of {task} have answers of weight 0 (not learned), which trainers learn unless they read the weights of"
        " messages"
    ]


def _unite_types(name: str, kinds_by_task: Mapping[str, object]) -> tuple[object, list[str]]:
    """One column's type for all tasks, and a note where values are written otherwise than they are kept."""
    kinds = list(kinds_by_task.values())
    if all(kind == kinds[0] for kind in kinds):
        return kinds[0], []
    if any(isinstance(kind, datasets.ClassLabel) for kind in kinds):
        if all(isinstance(kind, datasets.ClassLabel) or kind == datasets.Value("string") for kind in kinds):
            return datasets.Value("string"), [
                f"column {name!r} has the names of classes, since tasks number them differently"
            ]
        raise _type_error(name, kinds_by_task)
    if any(isinstance(kind, datasets.Image) for kind in kinds):
        if all(isinstance(kind, datasets.Image) for kind in kinds):
            return datasets.Image(), []
        raise _type_error(name, kinds_by_task)
    types = [datasets.Features({name: kind}).arrow_schema.field(name).type for kind in kinds]
    try:
        together = pa.unify_schemas([pa.schema([pa.field(name, kind)]) for kind in types], promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise _type_error(name, kinds_by_task) from error
    if pa.types.is_binary(together.field(name).type) and not all(pa.types.is_binary(kind) for kind in types):
        raise _type_error(name, kinds_by_task)  # Arrow would call a text bytes
    return datasets.Features.from_arrow_schema(together)[name], []


def _type_error(name: str, kinds: Mapping[str, object]) -> DataError:
    listing = "; ".join(f"{task}: {_short(kind)}" for task, kind in kinds.items())
    return DataError(
        f"column {name!r} is not of one type in all tasks ({listing}); rename it in the files of one task, or give it"
        " one type in all tasks"
    )


def _short(kind: object) -> str:
    text = str(kind)
    return text if len(text) < 80 else text[:77] + "..."


def table_of(rows: "datasets.Dataset", indices: Sequence[int], features: "datasets.Features") -> pa.Table:
    """Make a table of some rows in the united columns, with the content of the files that rows point at.

    Args:
        rows: As `open_rows` gives them.
        indices: Of the rows, in any order, also more than once.
        features: As `unite_columns` gives them.

    >>> rows = open_rows([{"x": 1}, {"x": 2}], {}, "a")
    >>> table_of(rows, [1, 0, 1], datasets.Features(x=datasets.Value("int64"), y=datasets.Value("string"))).to_pylist()
    [{'x': 2, 'y': None}, {'x': 1, 'y': None}, {'x': 2, 'y': None}]
    """
    table = _embed_files(rows[list(indices)])
    for name, kind in rows.features.items():
        if isinstance(kind, datasets.ClassLabel) and not isinstance(features[name], datasets.ClassLabel):
            table = _with(table, name, _class_names(table[name], kind))
    return datasets.table.cast_table_to_schema(table, features.arrow_schema)


def _embed_files(table: pa.Table) -> pa.Table:
    try:
        return datasets.table.embed_table_storage(table)
    except OSError as error:
        raise DataError(f"a file that rows point at cannot be read: {error}") from error


def _with(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _class_names(numbers: pa.ChunkedArray, kind: "datasets.ClassLabel") -> pa.ChunkedArray:
    """Names of class numbers; null where there is none."""
    return pc.take(pa.array(kind.names, pa.string()), pc.if_else(pc.less(numbers, 0), None, numbers))


def binary_columns(features: "datasets.Features") -> list[str]:
    """Columns that JSON has no way to write: images, sounds, bytes.

    >>> binary_columns(datasets.Features(picture=datasets.Image(), label=datasets.Value("int64")))
    ['picture']
    """
    return [field.name for field in features.arrow_schema if _has_bytes(field.type)]


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return any(_has_bytes(kind.field(place).type) for place in range(kind.num_fields))
