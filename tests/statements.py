"""The SQL that is run, so that tests can count it."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

__all__ = ["recorded_queries"]


@contextmanager
def recorded_queries() -> Iterator[list[str]]:
    """Every query of any database that is run inside."""
    queries: list[str] = []

    def record(connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            queries.append(" ".join(statement.split()))

    sa.event.listen(sa.Engine, "before_cursor_execute", record)
    try:
        yield queries
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", record)
