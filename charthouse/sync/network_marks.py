"""How far a person's records have been read through a partner: `_since` of the next stream.

The mark is an instant of the partner's own clock, before which the last whole stream was not asked for, under the label
`$everything` of each link. A person's links come in one stream, so the one that has read least decides.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALL: Final = "$everything"


def label_of(kind: str) -> str:
    """The label of one type."""
    return f"{ALL}?_type={kind}"


def since(marks: Iterable[Mapping[str, str]], overlap: float) -> str | None:
    """From when on a stream is asked for, `overlap` seconds before the earliest mark; None for everything."""
    known = [mark.get(ALL) for mark in marks]
    if not known or None in known:
        return None
    earliest = min(datetime.fromisoformat(str(value)) for value in known)
    return _written(earliest - timedelta(seconds=overlap))


def mark_of(as_of: datetime | None) -> str | None:
    """The mark after a whole stream that was not asked for before this instant; None where the server named none."""
    return _written(as_of) if as_of is not None else None


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
