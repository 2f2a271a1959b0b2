"""The state database: links, credentials, runs. SQLAlchemy models and Alembic migrations."""

from charthouse.state.engine import session
from charthouse.state.schema import current_version, head_version, migrate

__all__ = ["current_version", "head_version", "migrate", "session"]
