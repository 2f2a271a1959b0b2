"""Pages of listings: a stable order, and a cursor that says where a page ended.

A cursor is sealed: opaque, unforgeable, and good for the listing and the caller that it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from charthouse.errors import ApiError, SetupError
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request

    from charthouse.settings import Settings

MOST, USUAL = 200, 50
Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=MOST, description=f"How many items to answer with, at most {MOST}.")]
Cursor = Annotated[
    str | None,
    Query(max_length=8000, pattern="^[A-Za-z0-9_=-]+$", description="Where to go on: `next` of the page before."),
]


class Page(BaseModel, Generic[Item]):
    """A part of a listing."""

    items: list[Item]
    next: str | None = Field(
        default=None, description="The cursor of the next page; missing on the last one.", examples=[None]
    )


def place_of(request: Request) -> str:
    """What a cursor belongs to: the caller, the listing and its filters."""
    filters = sorted(
        (name, value) for name, value in request.query_params.multi_items() if name not in ("cursor", "limit")
    )
    return "\n".join((request.state.caller.identity, request.url.path, repr(filters)))


def opened(settings: Settings, request: Request, cursor: str | None) -> str | None:
    """Where the page before ended.

    Raises:
        ApiError: CH816 for a cursor that was not made for this listing.
    """
    if cursor is None:
        return None
    try:
        return sealer_of(settings).open(cursor.encode("ascii"), f"cursor {place_of(request)}")
    except (SetupError, ValueError):
        raise ApiError("CH816") from None


def cut(
    settings: Settings, request: Request, items: Sequence[Item], mark: Callable[[Item], str], limit: int
) -> tuple[list[Item], str | None]:
    """The first `limit` of `items`, and the cursor of what comes after them where there are more."""
    page = list(items[:limit])
    if len(items) <= limit:
        return page, None
    return page, sealer_of(settings).seal(mark(page[-1]), f"cursor {place_of(request)}").decode("ascii")


def behind(items: Iterable[Item], mark: Callable[[Item], str], after: str | None) -> list[Item]:
    """Of a short listing that is sorted by `mark`, what comes after the page that ended there."""
    return [item for item in items if after is None or mark(item) > after]
