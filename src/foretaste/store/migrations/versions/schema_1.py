"""Schema 1: the tables of foretaste 0.1, which had no record of Alembic's."""

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "schema_1"
down_revision = None


def upgrade() -> None:
    """Make the tables in an empty database."""
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), sa.CheckConstraint("id = 1"), primary_key=True),
        sa.Column("schema", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
    )
    op.create_table(
        "recipes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
    )
    op.create_table(
        "artefacts",
        sa.Column("hash", sa.String(), primary_key=True),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
    )
    _create_rows()


def _create_rows() -> None:
    op.create_table(
        "work",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False, index=True),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("artefact", sa.String(), sa.ForeignKey("artefacts.hash")),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), sa.ForeignKey("work.key"), nullable=False, unique=True),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.Column("fidelity", sa.String(), nullable=False, index=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
    )
