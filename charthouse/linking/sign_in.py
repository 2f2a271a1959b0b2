"""Signing in at a provider, from "connect" to stored tokens: begun here, ended by the callback of the same browser.

A sign-in is found by a hash of its `state` and is good for one answer, for an hour, in one browser (RFC 6749 §10.12,
RFC 9700 §4.7). What its return must match (PKCE verifier, nonce, the server that was asked) is sealed. Whatever comes
of the answer is one code; a provider that is out of order costs nothing, for the same answer may come again.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import delete, select, update

from charthouse import log
from charthouse.clock import now
from charthouse.errors import CharthouseError, FetchError, LinkError, StateError
from charthouse.linking import callback, confirm, links
from charthouse.linking.eligibility import check_may_link
from charthouse.linking.providers import get_provider
from charthouse.linking.registrations import client_of, scopes_of
from charthouse.partners import smart
from charthouse.partners.capability import fetch_capability
from charthouse.partners.discovery import SmartConfiguration
from charthouse.partners.http import HttpClient
from charthouse.partners.scope_request import scopes_to_request
from charthouse.settings import Settings, get_settings
from charthouse.state import session
from charthouse.state.linking import SignIn
from charthouse.state.locks import exclusive
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from charthouse.state.models import Status

LIVES: Final = timedelta(hours=1)
KEPT: Final = timedelta(days=7)
"""Rows of sign-ins that are over stay so long: a late or second answer is then told what became of the first."""
MOST_STATE: Final = 512
DONE: Final = "done"
PATIENCE: Final = 60.0
"""Seconds that a second answer waits for the first one to be done with."""
_log = log.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """A sign-in that has begun: the address to open, and the state by which it is known."""

    link_id: str
    authorize_url: str = field(repr=False)
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of an answer. `code` is the number of what went wrong, `reason` the link's own where it failed.

    `detail` is the rule that decided where the records are not the person's (`matching`): there is a text for each.
    """

    link_id: str
    status: Status
    code: str | None
    reason: str | None = None
    detail: str | None = None
    return_to: str | None = field(default=None, repr=False)


class Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the return must match, as it is sealed, and the address that the browser is sent to."""

    url: str
    code_verifier: str
    nonce: str | None
    configuration: SmartConfiguration
    base: str
    """The FHIR base for which it was begun: tokens go nowhere else."""


def start_sign_in(
    person_key: str,
    provider_slug: str,
    *,
    link_id: str | None = None,
    browser: str | None,
    redirect_uri: str,
    return_to: str | None = None,
    from_app: bool | None = None,
    settings: Settings | None = None,
) -> Started:
    """Begin a sign-in for a person at a provider: for a new link, or for `link_id`, which keeps its id and its data.

    `browser` is the secret of the person's browser session. With None the sign-in is bound by `bind_browser`, once, and
    cannot end before. `from_app` says that the Android app asks.

    Raises:
        StateError: CH602 when there is no such person, provider or link of theirs; CH604 when the provider names no
            place to sign in.
        LinkError: CH610 to CH617 when the person may not link; CH642 when the provider cannot be asked now.
    """
    settings = settings or get_settings()
    with session(settings) as state:
        check_may_link(state, person_key, provider_slug, "direct", from_app=from_app, settings=settings)
        if link_id is not None:
            _own_link(state, link_id, person_key, provider_slug)
        base = get_provider(state, provider_slug).fhir_base_url
        client, scope = client_of(state, provider_slug, settings), scopes_of(state, provider_slug)
    try:
        configuration = smart.discover(base)
    except FetchError as error:
        raise LinkError("CH642", where=error.where, what=error.code) from None
    begun = smart.begin_sign_in(
        configuration,
        base,
        client,
        redirect_uri=redirect_uri,
        scope=scope or scopes_to_request(configuration, offered=_offered(configuration, base, settings)),
    )
    kept = Secrets(begun.url, begun.code_verifier, begun.nonce, configuration, base)
    at, name = now(), state_hash(begun.state)
    with session(settings) as state:
        if link_id is None:
            link_id = links.start_link(state, person_key, provider_slug, "direct").id
        else:
            _own_link(state, link_id, person_key, provider_slug)
        state.add(
            SignIn(
                state_hash=name,
                link_id=link_id,
                browser_hash=None if browser is None else _browser_hash(browser),
                sealed_secrets=sealer_of(settings).seal(msgspec.json.encode(kept).decode(), _owner(name)),
                issuer=configuration.issuer,
                redirect_uri=redirect_uri,
                return_to=return_to,
                scope=begun.scope,
                started_at=at,
                expires_at=at + LIVES,
            )
        )
    return Started(link_id, begun.url, begun.state)


def bind_browser(state: str, browser: str, *, settings: Settings | None = None) -> str:
    """Bind a sign-in to the browser that opens it first. Returns the address to send it to.

    Raises:
        LinkError: CH630 for an unknown sign-in, CH631 when another browser has it, CH632 when its hour is over.
    """
    settings = settings or get_settings()
    name = state_hash(state)
    with session(settings) as opened:
        opened.execute(
            update(SignIn)
            .where(SignIn.state_hash == name, SignIn.browser_hash.is_(None), SignIn.used_at.is_(None))
            .values(browser_hash=_browser_hash(browser))
        )
        row = opened.get(SignIn, name)
        if row is None:
            raise LinkError("CH630")
        _check_browser(row, browser)
        if row.used_at is not None or row.sealed_secrets is None:
            raise LinkError("CH630", what="it is over")
        if row.expires_at <= now():
            raise LinkError("CH632")
        return _opened(row, settings).url


def finish_sign_in(parameters: Mapping[str, str], *, browser: str | None, settings: Settings | None = None) -> Finished:
    """Take the provider's answer: the parameters of the callback, from the browser session that brought them.

    Of several answers to one sign-in, one is worked on; the others wait for it and are told what came of it.

    Raises:
        LinkError: CH630 when the answer belongs to no sign-in, CH631 when another browser brought it: nothing is told
            of a sign-in that is not shown to be one's own.
    """
    settings = settings or get_settings()
    given = parameters.get("state", "")
    if not isinstance(given, str) or not 0 < len(given) <= MOST_STATE:
        raise LinkError("CH630")
    name = state_hash(given)
    with session(settings, read_only=True) as state:
        row = state.get(SignIn, name)
    if row is None:
        raise LinkError("CH630")
    _check_browser(row, browser)
    try:
        with exclusive(f"sign-in {name}", settings, wait=PATIENCE):
            code = _take(name, parameters, settings)
    except StateError as error:
        if error.code != "CH608":
            raise
        code = "CH633"
    return _finished(name, code, settings)


def forget_old(settings: Settings | None = None) -> int:
    """Remove the rows of sign-ins whose hour was over a week ago. Returns how many went."""
    with session(settings) as state:
        gone = state.execute(delete(SignIn).where(SignIn.expires_at < now() - KEPT).returning(SignIn.state_hash)).all()
    return len(gone)


def _take(name: str, parameters: Mapping[str, str], settings: Settings) -> str | None:
    """Work on an answer that nobody else works on; or, where it is a second one, tell what became of the first.

    Returns the number of what went wrong; None once the link has its tokens.
    """
    at = now()
    with session(settings) as state:
        claimed = state.scalars(
            update(SignIn)
            .where(SignIn.state_hash == name, SignIn.used_at.is_(None))
            .values(used_at=at)
            .returning(SignIn)
            .execution_options(populate_existing=True)
        ).one_or_none()
    if claimed is None:
        return _told(name, settings)
    if claimed.expires_at <= at:
        return _end(name, "CH632", settings)
    try:
        link_id = callback.answer(claimed, _opened(claimed, settings), parameters, settings)
    except callback.OutOfOrderError as error:
        _log.warning("the provider is out of order", link_id=claimed.link_id, code=error.code)
        _release(name, settings)
        return "CH642"
    except (LinkError, StateError) as error:
        if error.code in {"CH603", "CH605", "CH608", "CH609"}:
            _release(name, settings)
            raise
        _log.warning("a sign-in failed", link_id=claimed.link_id, code=error.code, what=error.what)
        return _end(name, error.code, settings)
    except BaseException:
        _release(name, settings)
        raise
    with session(settings) as state:
        # The link may be another by now: the person had one for this patient already.
        state.execute(
            update(SignIn).where(SignIn.state_hash == name).values(link_id=link_id, outcome=DONE, sealed_secrets=None)
        )
    return None


def _release(name: str, settings: Settings) -> None:
    """Let the same answer come again: nothing came of it, and nothing was lost."""
    with session(settings) as state:
        state.execute(update(SignIn).where(SignIn.state_hash == name, SignIn.outcome == "").values(used_at=None))


def _end(name: str, code: str, settings: Settings) -> str:
    """End a sign-in that came to nothing. Returns the number of why."""
    with session(settings) as state:
        state.execute(update(SignIn).where(SignIn.state_hash == name).values(outcome=code, sealed_secrets=None))
    return code


def _told(name: str, settings: Settings) -> str | None:
    """What became of the answer that came first; CH633 where whoever worked on it is gone."""
    with session(settings, read_only=True) as state:
        outcome = state.scalars(select(SignIn.outcome).where(SignIn.state_hash == name)).one()
    return None if outcome == DONE else outcome or "CH633"


def _finished(name: str, code: str | None, settings: Settings) -> Finished:
    """What has come of a sign-in, once the link's Patient has been compared; not under the lock, for that takes time.

    Of two answers both compare, and both come to the same.
    """
    with session(settings, read_only=True) as state:
        row = state.get_one(SignIn, name)
    detail = None
    if code is None:
        try:
            compared = confirm.match_patient(row.link_id, settings=settings)
            code, detail = compared.code, compared.detail
        except CharthouseError as error:  # the tokens are kept; the hourly confirmation asks again
            _log.warning("the Patient is compared later", link_id=row.link_id, code=error.code)
    if code is not None and row.outcome == DONE:
        _end(name, code, settings)
    with session(settings, read_only=True) as state:
        link = links.get_link(state, row.link_id)
        if code is None and link.status == "failed":
            code = confirm.CODES.get(link.failed_reason or "")
        if code is None and link.status == "disconnected":  # since then
            code = "CH630"
        return Finished(row.link_id, link.status, code, link.failed_reason, detail, row.return_to)


def state_hash(state: str) -> str:
    """By what a sign-in is found: the database alone does not tell the state."""
    return hashlib.sha256(state.encode()).hexdigest()


def _browser_hash(browser: str) -> str:
    return hashlib.sha256(b"browser:" + browser.encode()).hexdigest()


def _check_browser(row: SignIn, browser: str | None) -> None:
    if browser is None or row.browser_hash is None:
        raise LinkError("CH631", what="the browser did not show the session in which it was begun")
    if not hmac.compare_digest(row.browser_hash, _browser_hash(browser)):
        raise LinkError("CH631")


def _own_link(state: Session, link_id: str, person_key: str, provider_slug: str) -> None:
    link = links.get_link(state, link_id)
    if link.person_key != person_key or link.provider != provider_slug or link.status == "deleted":
        raise StateError("CH602", where=f"link {link_id}")


def _offered(configuration: SmartConfiguration, base: str, settings: Settings) -> frozenset[str]:
    """The types of the CapabilityStatement, asked for only where the provider lists no scopes."""
    if configuration.scopes_supported:
        return frozenset()
    try:
        with HttpClient(settings) as client:
            return frozenset(fetch_capability(client, base).types)
    except FetchError:
        return frozenset()


def _opened(row: SignIn, settings: Settings) -> Secrets:
    if row.sealed_secrets is None:
        raise LinkError("CH630", what="it is over")
    return msgspec.json.decode(sealer_of(settings).open(row.sealed_secrets, _owner(row.state_hash)), type=Secrets)


def _owner(name: str) -> str:
    return f"secrets of sign-in {name}"
