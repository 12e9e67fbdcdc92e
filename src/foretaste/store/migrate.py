"""Moving a study's rows to the tables of this version, with Alembic.

Alembic is imported when it is first used. So a study that is up to date needs no Alembic.

References:
    Alembic, Runtime Objects, https://alembic.sqlalchemy.org/en/latest/api/runtime.html
"""

from pathlib import Path

import sqlalchemy as sa

from foretaste import __version__
from foretaste.store import tables

__all__ = ["mark_schema", "schema_of", "upgrade_schema"]

_SCRIPTS = Path(__file__).parent / "migrations"


def schema_of(connection: sa.Connection) -> tuple[int, str] | None:
    """Read the schema of a study and the version of foretaste that made it; None if the database has no such row.

    >>> engine = sa.create_engine("sqlite://")
    >>> with engine.begin() as connection:
    ...     tables.METADATA.create_all(connection)
    ...     schema_of(connection)
    """
    row = connection.execute(sa.text("select schema, version from study")).first()
    return None if row is None else (int(row.schema), str(row.version))


def mark_schema(connection: sa.Connection) -> None:
    """Record in a new database that its tables are of this version.

    >>> engine = sa.create_engine("sqlite://")
    >>> with engine.begin() as connection:
    ...     mark_schema(connection)
    ...     connection.execute(sa.select(tables.REVISIONS)).all()
    [('schema_2',)]
    """
    tables.REVISIONS.create(connection, checkfirst=True)
    if connection.execute(sa.select(tables.REVISIONS)).first() is None:
        connection.execute(sa.insert(tables.REVISIONS).values(version_num=tables.revision_of(tables.SCHEMA)))


def upgrade_schema(connection: sa.Connection) -> None:
    """Move a study of an earlier schema to this version's, within the caller's transaction.

    The study's row then names this version. An earlier foretaste refuses the study and names the version that it needs.

    Args:
        connection: A connection in a transaction that keeps other writers out; in SQLite without foreign keys.
    """
    stored = schema_of(connection)
    schema = 1 if stored is None else stored[0]  # the first version made the tables before the row
    if schema >= tables.SCHEMA:
        return
    from alembic.migration import MigrationContext  # slow to import, and few studies have to move
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts, context = ScriptDirectory(str(_SCRIPTS)), MigrationContext.configure(connection)
    pending = list(scripts.iterate_revisions(tables.revision_of(tables.SCHEMA), tables.revision_of(schema)))
    with Operations.context(context):
        for step in reversed(pending):
            step.module.upgrade()
    context.stamp(scripts, tables.revision_of(tables.SCHEMA))
    connection.execute(sa.update(tables.study).values(schema=tables.SCHEMA, version=__version__))
