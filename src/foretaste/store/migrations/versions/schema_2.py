"""Schema 2: sizes in bytes and seeds are 64 bits wide in every database, as they always were in SQLite."""

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "schema_2"
down_revision = "schema_1"


def upgrade() -> None:
    """Widen the two columns. SQLite cannot alter a column, so the tables are copied there."""
    for table, column in (("artefacts", "bytes"), ("evaluations", "seed")):
        with op.batch_alter_table(table) as batch:
            batch.alter_column(column, existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False)
