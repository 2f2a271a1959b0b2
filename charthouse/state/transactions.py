"""Sessions with the state database: one transaction each, on SQLite and on PostgreSQL alike.

PostgreSQL locks rows (`SELECT … FOR UPDATE`) where the code asks for it; SQLite locks the whole database. Keep sessions
short; nothing that waits for a network belongs inside.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from charthouse.errors import StateError
from charthouse.settings import Settings, get_settings
from charthouse.state import audit
from charthouse.state.engine import describe, engine
from charthouse.state.schema import require_current

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def session(settings: Settings | None = None, *, read_only: bool = False) -> Iterator[Session]:
    """One transaction: committed when the block ends, rolled back when it raises.

    Objects keep their loaded values afterwards. A `read_only` session takes no lock and refuses to write.

    Raises:
        StateError: CH603 when the schema is behind or ahead of this code, CH609 when there is none, CH605 when the
            database cannot be used. What the database said is left out, for it may quote values; the class and the
            constraint remain.
    """
    settings = settings or get_settings()
    require_current(settings)
    made = engine(settings)
    options = {"postgresql_readonly": True} if read_only else {}
    try:
        with (
            Session(
                made.execution_options(**options), expire_on_commit=False, info={audit.ANCHORS: settings.audit_anchors}
            ) as opened,
            opened.begin(),
        ):
            yield opened
            if opened.in_nested_transaction():
                raise RuntimeError("a savepoint was left open")  # what it recorded would be in no audit trail
    except DBAPIError as error:
        raise StateError("CH605", what=describe(error)) from None
