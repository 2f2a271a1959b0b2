"""An error as an OAuth server says it."""

from __future__ import annotations


class OAuthError(Exception):
    """An error of RFC 6749 §4.1.2.1 or §5.2: its code, a description, and the HTTP status where it is no redirect."""

    def __init__(self, code: str, description: str, *, status: int = 400) -> None:
        self.code = code
        self.description = description
        self.status = status
        super().__init__(description)
