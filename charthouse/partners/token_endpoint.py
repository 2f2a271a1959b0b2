"""A conversation with an OAuth token endpoint: what it says is named, and nothing of it is quoted (RFC 6749 §5).

Its answers end and are small, and may be odd in what is not essential.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session

from charthouse.clock import now
from charthouse.errors import FetchError
from charthouse.partners.addresses import proxies_for
from charthouse.partners.client_auth import has_another_form, proof
from charthouse.partners.discovery import read_object
from charthouse.partners.pacing import ahead_of, retry_after
from charthouse.partners.transport import AnswerTooLargeError, BoundedAdapter
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from charthouse.partners.client import Client
    from charthouse.partners.lines import Lines

    Said = TypeVar("Said")

MAX_TOKEN_ANSWER: Final = 2**20
"""Most bytes of a token endpoint's answer."""
_GRANT_ERRORS: Final = frozenset(
    {"access_denied", "consent_required", "interaction_required", "invalid_grant", "login_required"}
)
_CLIENT_ERRORS: Final = frozenset({"invalid_client", "unauthorized_client"})
_PASSING_ERRORS: Final = frozenset({"server_error", "temporarily_unavailable"})
BUSY: Final = frozenset({429, 503})
"""Statuses of an endpoint that did nothing."""
_KNOWN_ERRORS: Final = frozenset(
    {
        "access_denied",
        "consent_required",
        "insufficient_scope",
        "account_selection_required",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
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
    """What a token endpoint issued. Instants are aware UTC.

    `scope` is as sent: None where the answer had none, which means "as asked" (RFC 6749 §5.1), and "" where it granted
    nothing. `patient` is the Patient id that the launch is about, `fhir_user` whoever signed in, as the answer itself
    says. `refresh_expires_at` is the earliest end of the grant that the answer names.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: datetime | None
    scope: str | None
    patient: str | None = field(repr=False)
    id_token: str | None = field(default=None, repr=False)
    fhir_user: str | None = field(default=None, repr=False)
    refresh_expires_at: datetime | None = None


class TokenSession(OAuth2Session):  # type: ignore[misc]
    """A conversation with a token endpoint, whose answers end, are small, and may be odd in what is not essential.

    The library itself gives a token up, a rotated refresh token with it, for an `expires_in` that is no number.
    """

    def __init__(
        self,
        client: Client,
        token_endpoint: str,
        *,
        again: bool = False,
        ahead: timedelta = timedelta(0),
        redirect_uri: str | None = None,
    ) -> None:
        carry = proof(client, token_endpoint, again=again, ahead=ahead)
        super().__init__(
            client.client_id,
            token_endpoint_auth_method=carry,
            revocation_endpoint_auth_method=carry,
            redirect_uri=redirect_uri,
        )
        for scheme in ("http://", "https://"):
            self.mount(scheme, BoundedAdapter(most=MAX_TOKEN_ANSWER))

    def get_redirect_target(self, _response: requests.Response) -> str | None:
        """Nowhere: secrets are sent where they were meant to go."""
        return None

    def parse_response_token(self, answer: requests.Response) -> dict[str, Any]:
        """What was issued, as `issued_by` has it."""
        self.token = issued_by(answer)
        return self.token


def issued_by(answer: requests.Response) -> dict[str, Any]:
    """What an answer issues, with the instant at which it ends as `ends_at`.

    Raises:
        RefusedError: it is a refusal.
        ValueError, TypeError: it is no JSON, or no object.
    """
    said = answer.json()
    if not isinstance(said, dict):
        raise TypeError
    error = said.get("error")
    if error is not None or answer.status_code >= 400:
        raise RefusedError(error, answer)
    issued = {name: value for name, value in said.items() if name not in {"expires_in", "expires_at"}}
    return issued | {"ends_at": _end(said.get("expires_in"))}


class RefusedError(AuthlibBaseError):  # type: ignore[misc]
    """The token endpoint refused, with an OAuth error code or without.

    `ahead` is how far its clock is ahead of ours, as its answer tells.
    """

    def __init__(self, error: object, answer: requests.Response) -> None:
        super().__init__(error if isinstance(error, str) else None)
        self.status = answer.status_code
        self.ahead = ahead_of(now(), answer.headers.get("Date"))

    @property
    def is_passing(self) -> bool:
        """Whether the endpoint itself says that it will be otherwise."""
        return self.error in _PASSING_ERRORS

    @property
    def is_the_clients(self) -> bool:
        """Whether it does not take us for who we are, or does not let us do this.

        A 401 is about the client (RFC 6749 §5.2), whatever name comes with it: SMART's own launcher says
        `invalid_request` where a secret is not sent as it wants it.
        """
        return self.error in _CLIENT_ERRORS or (self.status == 401 and self.error not in _GRANT_ERRORS)

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


def introducing(
    client: Client, token_endpoint: str, talk: Callable[[Any], Said], *, lines: Lines | None = None
) -> Said:
    """Talk as a client: in a session of its own, or over `lines` that stay open.

    One that is refused talks once more where its proof has another form (`client_auth`). Nothing was granted or spent
    by a request that was refused as malformed, or as nobody's.
    """
    open_as = TokenSession if lines is None else lines.open_as
    try:
        return talk(open_as(client, token_endpoint))
    except RefusedError as refused:
        if not has_another_form(client, refused.error):
            raise
        try:
            return talk(open_as(client, token_endpoint, again=True, ahead=refused.ahead))
        except RefusedError as again:
            # What a strict server says of a secret that is not encoded is not what is wrong with ours.
            raise refused if again.error == "invalid_request" else again from None


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

    scope, patient = issued.get("scope"), issued.get("patient")
    if isinstance(scope, list):
        scope = " ".join(word for word in scope if isinstance(word, str))
    ends = [_end(issued.get(name)) for name in ("refresh_expires_in", "refresh_token_expires_in")]
    ends.append(_instant(issued.get("access_grant_expiration")))
    return TokenSet(
        access_token=access,
        refresh_token=text("refresh_token"),
        expires_at=issued.get("ends_at"),
        scope=scope if isinstance(scope, str) else None,
        patient=str(patient) if isinstance(patient, int) and not isinstance(patient, bool) else text("patient"),
        id_token=text("id_token"),
        fhir_user=text("fhirUser"),
        refresh_expires_at=min((end for end in ends if end is not None), default=None),
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


def accepted(answer: requests.Response, where: str) -> requests.Response:
    """The answer of a revocation or introspection endpoint, unless it refuses.

    Raises:
        RefusedError: it does; a 401 is about the client.
        FetchError: as `look_at`.
    """
    look_at(answer, where)
    if answer.status_code == 401:
        raise RefusedError("invalid_client", answer)
    if answer.status_code >= 400:
        raise RefusedError((read_object(answer.content) or {}).get("error"), answer)
    return answer


def _instant(text: object) -> datetime | None:
    """The end of a grant as an instant (Blue Button's `access_grant_expiration`); None for none to come."""
    try:
        end = datetime.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    end = end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC)
    return end if end > now() else None


def _end(seconds: object) -> datetime | None:
    """The instant at which a token of so many seconds ends; None where that is not said, or not sensibly."""
    try:
        lasts = timedelta(seconds=float(seconds))  # type: ignore[arg-type]
        return now() + lasts if lasts > timedelta(0) else None
    except (TypeError, ValueError, OverflowError):
        return None
