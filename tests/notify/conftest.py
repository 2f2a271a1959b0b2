"""A home whose people can be told things."""

from __future__ import annotations

from tests.state.conftest import empty, home, link, postgres_schema

__all__ = ["empty", "home", "link", "postgres_schema"]
