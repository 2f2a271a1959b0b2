"""The state database: links, credentials, runs. SQLAlchemy models and Alembic migrations."""
