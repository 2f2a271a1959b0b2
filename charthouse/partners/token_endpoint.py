"""A conversation with an OAuth token endpoint: what it says is named, and nothing of it is quoted (RFC 6749 §5).

Its answers end and are small, and may be odd in what is not essential.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session

from charthouse.clock import now
from charthouse.errors import FetchError
from charthouse.partners.addresses import proxies_for
from charthouse.partners.pacing import retry_after
from charthouse.partners.transport import AnswerTooLargeError, BoundedAdapter
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TOKEN_ANSWER: Final = 2**20
"""Most bytes of a token endpoint's answer."""
_GRANT_ERRORS: Final = frozenset(
    {"access_denied", "consent_required", "interaction_required", "invalid_grant", "login_required"}
)
_PASSING_ERRORS: Final = frozenset({"server_error", "temporarily_unavailable"})
BUSY: Final = frozenset({429, 503})
"""Statuses of an endpoint that did nothing."""
_KNOWN_ERRORS: Final = frozenset(
    {
        "access_denied",
        "consent_required",
        "insufficient_scope",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a token endpoint issued. `expires_at` is aware UTC; `patient` the Patient id that the launch is about."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: datetime | None
    scope: str | None
    patient: str | None = field(repr=False)


class TokenSession(OAuth2Session):  # type: ignore[misc]
    """A conversation with a token endpoint, whose answers end, are small, and may be odd in what is not essential.

    The library itself gives a token up, a rotated refresh token with it, for an `expires_in` that is no number.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for scheme in ("http://", "https://"):
            self.mount(scheme, BoundedAdapter(most=MAX_TOKEN_ANSWER))

    def get_redirect_target(self, _response: requests.Response) -> str | None:
        """Nowhere: secrets are sent where they were meant to go."""
        return None

    def parse_response_token(self, answer: requests.Response) -> dict[str, Any]:
        """What was issued, with the instant at which it ends as `ends_at`."""
        said = answer.json()
        if not isinstance(said, dict):
            raise TypeError
        error = said.get("error")
        if error is not None or answer.status_code >= 400:
            raise RefusedError(error, answer.status_code)
        issued = {name: value for name, value in said.items() if name not in {"expires_in", "expires_at"}}
        self.token = issued | {"ends_at": _end(said.get("expires_in"))}
        return self.token


class RefusedError(AuthlibBaseError):  # type: ignore[misc]
    """The token endpoint refused, with an OAuth error code or without."""

    def __init__(self, error: object, status: int) -> None:
        super().__init__(error if isinstance(error, str) else None)
        self.status = status

    @property
    def is_passing(self) -> bool:
        """Whether the endpoint itself says that it will be otherwise."""
        return self.error in _PASSING_ERRORS

    @property
    def is_the_grants(self) -> bool:
        """Whether the person's grant has ended: anything else is between the provider and us.

        Some providers have names of their own for a grant that ended; the status is then RFC 6749's.
        """
        if self.error in _KNOWN_ERRORS:
            return self.error in _GRANT_ERRORS
        return self.status == 400


class BusyError(FetchError):
    """The endpoint asks to come again (429, 503): it did nothing. `wait` are the seconds it names, if any."""

    def __init__(self, answer: requests.Response, where: str) -> None:
        super().__init__("CH109", where=where, what=f"HTTP {answer.status_code}")
        self.status = answer.status_code
        self.wait = retry_after(answer.headers.get("Retry-After"), answer.headers.get("Date"))


@contextmanager
def conversation(session: OAuth2Session, where: str) -> Iterator[None]:
    """A conversation with a token endpoint: what goes wrong on the way is named, and nothing of it is quoted."""
    for moment in ("access_token_response", "refresh_token_response"):
        session.register_compliance_hook(moment, lambda answer: look_at(answer, where))
    try:
        yield
    except requests.JSONDecodeError:
        raise FetchError("CH105", where=where) from None
    except (requests.RequestException, OSError):
        raise FetchError("CH101", where=where) from None
    except (AnswerTooLargeError, ValueError, TypeError, AttributeError, KeyError):
        # The library trusts the shape of an answer.
        raise FetchError("CH105", where=where) from None
    finally:
        session.close()


def token_set(issued: dict[str, Any]) -> TokenSet:
    """What was issued, typed; parts of a wrong type are absent.

    Raises:
        AuthlibBaseError: there is no access token.
    """
    access = issued.get("access_token")
    if not isinstance(access, str) or not access:
        raise AuthlibBaseError("no_access_token")

    def text(name: str) -> str | None:
        value = issued.get(name)
        return value if isinstance(value, str) and value else None

    return TokenSet(
        access_token=access,
        refresh_token=text("refresh_token"),
        expires_at=issued.get("ends_at"),
        scope=text("scope"),
        patient=text("patient"),
    )


def sending(url: str) -> dict[str, Any]:
    """How a request to an endpoint of a sign-in is sent."""
    return {"timeout": get_settings().request_timeout, "allow_redirects": False, "proxies": proxies_for(url)}


def named(error: object) -> str:
    """An OAuth error code by its name; a name that no standard knows might be anything."""
    return error if isinstance(error, str) and error in _KNOWN_ERRORS else "an error that has no standard name"


def look_at(answer: requests.Response, where: str) -> requests.Response:
    """The answer, unless its status alone says what is wrong.

    Raises:
        FetchError: CH109 for 429 and 5xx (`BusyError` where the endpoint did nothing), CH121 for a redirect.
    """
    if answer.status_code in BUSY:
        raise BusyError(answer, where)
    if answer.status_code >= 500:
        raise FetchError("CH109", where=where, what=f"HTTP {answer.status_code}")
    if 300 <= answer.status_code < 400:
        raise FetchError("CH121", where=where)
    return answer


def _end(seconds: object) -> datetime | None:
    """The instant at which a token of so many seconds ends; None where that is not said, or not sensibly."""
    try:
        lasts = timedelta(seconds=float(seconds))  # type: ignore[arg-type]
        return now() + lasts if lasts > timedelta(0) else None
    except (TypeError, ValueError, OverflowError):
        return None
