"""What goes in and out: the parts that several routes share.

Texts of people hold no control characters: a line break in a name would be one in a mail's header.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from charthouse.api.problems import Problem

# No control characters, line or paragraph separators, surrogates or private signs.
PLAIN = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\ue000-\uf8ff]*$"
KEY = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
SLUG = "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is blank")
    return text.strip()


Text = Annotated[str, StringConstraints(max_length=200, pattern=PLAIN)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PLAIN)]
Country = Annotated[
    str, StringConstraints(pattern="^[A-Z]{2}$"), Field(description="ISO 3166-1 alpha-2.", examples=["US"])
]
Slug = Annotated[str, StringConstraints(max_length=64, pattern=SLUG), Field(examples=["mercy-clinic"])]
Day = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    Field(description="A whole date.", examples=["1984-02-29"]),
]
LocalTime = Annotated[
    str,
    StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"),
    Field(description="A time on the person's own clock.", examples=["22:00"]),
]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")]

# Ids in paths are not validated: what is no id is simply not there.
PersonKey = Annotated[str, Path(max_length=200, description="The person's key.")]
LinkId = Annotated[str, Path(max_length=200, description="The link's id.")]

NotBlank = AfterValidator(_not_blank)


class Body(BaseModel):
    """What a caller sends: fields that are not declared are refused, and nothing of it is shown in a repr."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


class Link(BaseModel):
    """One person at one provider."""

    link_id: str
    person_key: str
    provider: str = Field(description="The provider's slug.")
    route: str = Field(description="How it came to be: direct, verified or phone.")
    status: str = Field(description="pending, confirmed, expired, disconnected or failed.")
    reason: str | None = Field(default=None, description="Why, where it failed.")
    message: str | None = Field(default=None, description="What that means, in words for the person.")
    action: str | None = Field(default=None, description="What the person can do about it.")
    sync_status: str = Field(description="never, waiting, running, complete, partial or failed.")
    categories: dict[str, str] = Field(
        description="What the person's grant permits of each category: permitted, partly or not_permitted.",
    )
    created_at: datetime
    confirmed_at: datetime | None = None
    last_synced_at: datetime | None = None
    sync_requested_at: datetime | None = None


_TOLD = {
    400: "The body is no JSON, or a header cannot be used.",
    401: "No valid service token.",
    403: "The token does not permit this.",
    404: "Not there, or not for this token.",
    405: "Not a method of this address.",
    409: "It cannot be done as things stand.",
    410: "Over, used, or never there.",
    413: "Larger than a megabyte.",
    415: "Not uncompressed JSON.",
    422: "It does not fit this document.",
    429: "Too many requests: see Retry-After.",
    503: "Not now: see Retry-After.",
}
SERVICE = (401, 429, 503)
BODY = (400, 413, 415, 422)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declared refusals of a route, beside those that every route of the service has."""
    return {status: {"model": Problem, "description": _TOLD[status]} for status in sorted({*SERVICE, *statuses})}


def shown_as_pages(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declared refusals of a page, which are pages."""
    page = {"text/html": {"schema": {"type": "string"}}}
    return {status: {"description": _TOLD[status], "content": page} for status in sorted({422, 429, 503, *statuses})}


def message_refusals(sender: str, about: str) -> dict[int | str, dict[str, Any]]:
    """The declared refusals of messages that somebody sends of their own accord; `about` is what they are about."""
    told = {
        400: "It is no message.",
        401: f"It is not signed by the {sender}, or not lately.",
        404: f"There is no such {sender}.",
        413: "Larger than a megabyte.",
        422: f"It is about {about}.",
        429: "Too many that were refused: see Retry-After.",
        503: "Not now.",
    }
    return {status: {"model": Problem, "description": said} for status, said in told.items()}
