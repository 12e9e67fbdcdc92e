from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from foretaste.store import migrate, tables

SCRIPTS = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))


def test_the_tables_are_those_of_the_last_script() -> None:
    assert SCRIPTS.get_current_head() == tables.revision_of(tables.SCHEMA)
    names = [script.revision for script in SCRIPTS.walk_revisions()]
    assert names == [tables.revision_of(schema) for schema in range(tables.SCHEMA, 0, -1)]


@pytest.mark.parametrize(("table", "column"), [(tables.artefacts, "bytes"), (tables.evaluations, "seed")])
def test_bytes_and_seeds_are_64_bits_in_every_database(table: sa.Table, column: str) -> None:
    assert isinstance(table.c[column].type, sa.BigInteger)


def test_the_only_plain_integers_count_rows_and_schemas() -> None:
    plain = {
        f"{table.name}.{column.name}"
        for table in tables.METADATA.tables.values()
        for column in table.c
        if type(column.type) is sa.Integer
    }
    assert plain == {"study.id", "study.schema", "recipes.id", "evaluations.id"}
