"""The state database: links, credentials, runs. SQLAlchemy models and Alembic migrations."""

from charthouse.state.schema import current_version, head_version, migrate
from charthouse.state.transactions import session

__all__ = ["current_version", "head_version", "migrate", "session"]
