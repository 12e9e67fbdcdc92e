"""The tables of a study's rows in this version.

Integers for bytes and seeds have 64 bits, even if a database's plain integers have 32. Any change of these tables
raises `SCHEMA` and adds a script to `foretaste.store.migrations.versions` that moves older studies.
"""

import sqlalchemy as sa

__all__ = ["METADATA", "REVISIONS", "SCHEMA", "artefacts", "evaluations", "recipes", "revision_of", "study", "work"]

SCHEMA = 2
METADATA = sa.MetaData()

study = sa.Table(
    "study",
    METADATA,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
    sa.Column("schema", sa.Integer, nullable=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
recipes = sa.Table(
    "recipes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
artefacts = sa.Table(
    "artefacts",
    METADATA,
    sa.Column("hash", sa.String, primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
work = sa.Table(
    "work",
    METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False, index=True),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("result", sa.JSON, nullable=False),
    sa.Column("artefact", sa.ForeignKey("artefacts.hash")),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
evaluations = sa.Table(
    "evaluations",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.ForeignKey("work.key"), nullable=False, unique=True),
    sa.Column("weights", sa.JSON, nullable=False),
    sa.Column("fidelity", sa.String, nullable=False, index=True),
    sa.Column("method", sa.String, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
)

# Alembic's own table. A new study gets its mark without Alembic, which is imported only to move an older one.
REVISIONS = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


def revision_of(schema: int) -> str:
    """Return Alembic's name of a schema.

    >>> revision_of(2)
    'schema_2'
    """
    return f"schema_{schema}"
