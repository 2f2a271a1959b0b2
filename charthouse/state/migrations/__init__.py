"""Alembic migrations of the state database; run by `charthouse.state.migrate()`."""
