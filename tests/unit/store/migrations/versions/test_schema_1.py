import sqlite3

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from earlier import EARLIER
from foretaste.store.migrations.versions import schema_1


def test_it_makes_the_tables_that_foretaste_0_1_made() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        schema_1.upgrade()
        made = sorted(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all())
    old = sqlite3.connect(f"file:{EARLIER / 'study.db'}?immutable=1", uri=True)
    kept = sorted(old.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
    old.close()
    assert [(name, " ".join(sql.split())) for name, sql in made] == [
        (name, " ".join(sql.split())) for name, sql in kept
    ]
