"""Rows in a SQL database, by SQLAlchemy Core; a SQLite file in the study's folder."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from foretaste.errors import StorageError
from foretaste.evaluation import Evaluation, Fidelity, MethodSteps
from foretaste.method_table import current_name
from foretaste.store import database, tables
from foretaste.store.rows import Done, Json, Record, Rows
from foretaste.weights import TaskWeights

__all__ = ["SqlRows"]


class SqlRows(Rows):
    """The rows of a study in an SQL database.

    Args:
        engine: An engine from `foretaste.store.database.connect`.
        path: The database's file, for errors.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = SqlRows.open(Path(folder) / "study.db", create=True)
    ...     rows.add_recipe("name: a", {"name": "a"})
    ...     rows.recipe()
    ...     rows.close()
    ('name: a', {'name': 'a'})
    """

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self._engine, self._path = engine, path

    @classmethod
    def open(cls, path: Path, *, create: bool) -> "SqlRows":
        """Open a database file; see `foretaste.store.database.connect`.

        Raises:
            StudyError: The file is missing, not a database, or of a newer schema.
            StorageError: The disk refuses.
        """
        return cls(database.connect(path, create=create), path)

    def close(self) -> None:
        self._engine.dispose()

    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        with self._reading() as connection:
            row = connection.execute(_LATEST_RECIPE).first()
        return None if row is None else (row.text, row.plan)

    def add_recipe(self, text: str, plan: Json) -> None:
        with self._writing() as connection:
            database.begin_writing(connection)  # only one of several processes adds it
            latest = connection.execute(_LATEST_RECIPE).first()
            if latest is None or (latest.text, latest.plan) != (text, dict(plan)):
                connection.execute(sa.insert(tables.recipes).values(text=text, plan=dict(plan), created=_now()))

    def add(self, records: Sequence[Record]) -> None:
        with self._writing() as connection:
            for record in records:
                for table, row in _rows_of(record):
                    connection.execute(database.insert_new(table).values(**row))

    def replace(self, records: Sequence[Record]) -> None:
        numbers = tables.evaluations.c.id
        with self._writing() as connection:
            database.begin_writing(connection)  # so that no other process takes the same numbers
            last = connection.execute(sa.select(sa.func.max(numbers))).scalar() or 0
            for number, record in enumerate(records, last + 1):
                for table in (tables.evaluations, tables.work):
                    connection.execute(sa.delete(table).where(table.c.key == record.done.key))
                for table, row in _rows_of(record):
                    more = {"id": number} if table is tables.evaluations else {}
                    connection.execute(database.insert_new(table).values(**row, **more))

    def work(self, keys: Collection[str]) -> dict[str, Done]:
        return {key: _done(row) for key, row in self._among(_WORK_OF_KEYS, keys).items()}

    def all_work(self, kind: str | None = None) -> list[Done]:
        query = sa.select(tables.work).order_by(tables.work.c.created, tables.work.c.key)
        with self._reading() as connection:
            rows = connection.execute(query if kind is None else query.where(tables.work.c.kind == kind)).all()
        return [_done(row) for row in rows]

    def evaluations(self, keys: Collection[str]) -> dict[str, Evaluation]:
        return {key: _evaluation(row) for key, row in self._among(_EVALUATIONS_OF_KEYS, keys).items()}

    def evaluations_after(self, number: int) -> tuple[list[Evaluation], int]:
        query = sa.select(tables.evaluations).where(tables.evaluations.c.id > number).order_by(tables.evaluations.c.id)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [_evaluation(row) for row in rows], rows[-1].id if rows else number

    def revision(self) -> str:
        last = [sa.select(sa.func.max(table.c.id)).scalar_subquery() for table in (tables.evaluations, tables.recipes)]
        with self._reading() as connection:
            row = connection.execute(sa.select(*last)).one()
        return "-".join(str(number or 0) for number in row)

    def _among(self, query: sa.Select[Any], keys: Collection[str]) -> dict[str, sa.Row[Any]]:
        """Return the rows that a query finds for these keys, in the order of the keys."""
        ordered, rows = list(keys), dict[str, sa.Row[Any]]()
        with self._reading() as connection:
            most = database.most_parameters(connection)
            for first in range(0, len(ordered), most):
                part = connection.execute(query, {"keys": ordered[first : first + most]})
                rows |= {row.key: row for row in part}
        return {key: rows[key] for key in ordered if key in rows}

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return database.transaction(self._engine, self._path)

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        if database.is_upgraded_copy(self._engine):
            raise StorageError(
                f"the study {self._path.parent} was made by an earlier version and is open for reading alone; "
                "run its recipe with --study, which moves it to this version"
            )
        with database.transaction(self._engine, self._path) as connection:
            yield connection


_KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)
_WORK_OF_KEYS = sa.select(tables.work).where(tables.work.c.key.in_(_KEYS))
_EVALUATIONS_OF_KEYS = sa.select(tables.evaluations).where(tables.evaluations.c.key.in_(_KEYS))
_LATEST_RECIPE = sa.select(tables.recipes).order_by(tables.recipes.c.id.desc()).limit(1)


def _rows_of(record: Record) -> list[tuple[sa.Table, dict[str, object]]]:
    """List the rows of one piece of work; each comes after those that it refers to."""
    done, created = record.done, _now()
    work = {"key": done.key, "kind": done.kind, "inputs": dict(done.inputs), "result": dict(done.result)}
    rows: list[tuple[sa.Table, dict[str, object]]] = []
    if done.artefact is not None:
        rows.append((tables.artefacts, {"hash": done.artefact, "bytes": record.size, "created": created}))
    rows.append((tables.work, work | {"artefact": done.artefact, "seconds": done.seconds, "created": created}))
    if record.evaluation is not None:
        rows.append((tables.evaluations, _columns(done.key, record.evaluation)))
    return rows


def _columns(key: str, evaluation: Evaluation) -> dict[str, object]:
    return {
        "key": key,
        "weights": dict(evaluation.weights),
        "fidelity": str(evaluation.fidelity),
        "method": evaluation.label,
        "seed": evaluation.seed,
        "metrics": {task: dict(metrics) for task, metrics in evaluation.metrics.items()},
        "cost": evaluation.cost,
    }


def _done(row: sa.Row[Any]) -> Done:
    return Done(row.key, row.kind, row.inputs, row.result, row.artefact, row.seconds)


def _evaluation(row: sa.Row[Any]) -> Evaluation:
    weights = TaskWeights(list(row.weights), list(row.weights.values()))
    made_by = MethodSteps.parse(row.method)
    return Evaluation(
        weights,
        row.metrics,
        Fidelity(row.fidelity),
        current_name(made_by.name),
        row.seed,
        row.cost,
        row.key,
        steps=made_by.steps,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
