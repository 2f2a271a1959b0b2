"""Tombstones of patients: what a provider sends to others about somebody who was erased is known for it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KINDS = ("kind IN ('person', 'link')", "kind IN ('person', 'link', 'patient')")


def upgrade() -> None:
    """Permit the kind."""
    _check(KINDS[1])


def downgrade() -> None:
    """Go back to people and links alone; the file of tombstones keeps what it has."""
    op.execute("DELETE FROM tombstone WHERE kind = 'patient'")
    _check(KINDS[0])


def _check(condition: str) -> None:
    """Replace the check of `tombstone.kind`. SQLite cannot; nothing points at the table, so there it is copied."""
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_tombstone_kind"), "tombstone", type_="check")
        op.create_check_constraint(op.f("ck_tombstone_kind"), "tombstone", condition)
        return
    op.rename_table("tombstone", "tombstone_before")
    op.create_table(
        "tombstone",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(condition, name=op.f("ck_tombstone_kind")),
        sa.PrimaryKeyConstraint("digest", name="pk_tombstone"),
    )
    op.execute("INSERT INTO tombstone SELECT digest, kind, at FROM tombstone_before")
    op.drop_table("tombstone_before")
