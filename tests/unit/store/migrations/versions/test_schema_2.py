import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from foretaste.store.migrations.versions import schema_1, schema_2


def test_it_widens_bytes_and_seeds_and_keeps_everything_else() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        schema_1.upgrade()
        connection.exec_driver_sql("INSERT INTO artefacts VALUES ('1f', 4000000000, 'now')")
        connection.exec_driver_sql("INSERT INTO work VALUES ('k', 'evaluation', '{}', '{}', '1f', 0.5, 'now')")
        connection.exec_driver_sql(
            """INSERT INTO evaluations VALUES (7, 'k', '{"a": 1.0}', 'joint', 'joint', 4611686018427387904, '{}', 1)"""
        )
        queries = [sa.select(sa.text("*")).select_from(sa.table(name)) for name in ("artefacts", "work", "evaluations")]
        before = [connection.execute(query).all() for query in queries]
        schema_2.upgrade()
        assert [connection.execute(query).all() for query in queries] == before
        found = sa.inspect(connection)
        assert {c["name"]: str(c["type"]) for c in found.get_columns("evaluations")}["seed"] == "BIGINT"
        assert {c["name"]: str(c["type"]) for c in found.get_columns("artefacts")}["bytes"] == "BIGINT"
        assert [key["referred_table"] for key in found.get_foreign_keys("evaluations")] == ["work"]
        assert found.get_unique_constraints("evaluations")[0]["column_names"] == ["key"]
        assert [index["name"] for index in found.get_indexes("evaluations")] == ["ix_evaluations_fidelity"]
