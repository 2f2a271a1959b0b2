"""A home with a person and a link, as the tests of the state have it."""

from __future__ import annotations

from tests.state.conftest import at_once, empty, home, link, postgres_schema, workers

__all__ = ["at_once", "empty", "home", "link", "postgres_schema", "workers"]
