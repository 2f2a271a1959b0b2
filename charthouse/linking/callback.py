"""A provider's answer to a sign-in, worked on once: judged, traded for tokens, checked, and stored with its link.

Nothing is stored of an answer that does not hold; tokens that it brought are given back (RFC 7009) as far as that goes.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from charthouse import log
from charthouse.errors import CharthouseError, FetchError, LinkError, StateError
from charthouse.linking import credentials, links
from charthouse.linking.eligibility import check_may_link
from charthouse.linking.permissions import permitted
from charthouse.linking.providers import get_provider
from charthouse.linking.registrations import client_of
from charthouse.linking.states import DUE
from charthouse.partners import smart
from charthouse.partners.discovery import host
from charthouse.partners.id_token import check_id_token, is_issuer, patient_of
from charthouse.partners.token_endpoint import named
from charthouse.state import session
from charthouse.state.linking import SignIn
from charthouse.state.models import Credential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from charthouse.linking.sign_in import Secrets
    from charthouse.partners.client import Client
    from charthouse.partners.token_endpoint import TokenSet
    from charthouse.settings import Settings
    from charthouse.state.models import Link

MOST_ANSWER: Final = 16_384
"""Most characters of a code: longer ones are no codes."""
_ID: Final = re.compile(r"[A-Za-z0-9\-._~]{1,255}")
"""An id that can stand in an address. FHIR has 64 characters at most; some providers have more."""
_PASSING: Final = frozenset({"server_error", "temporarily_unavailable"})
_SAID_NO: Final = frozenset({"access_denied", "consent_required", "interaction_required", "login_required"})
_NOT_THE_PERSONS: Final = frozenset({"CH634", "CH637", "CH642"})
"""An answer of another server, a registration to mend, a provider out of order: no reason to fail a link."""
_log = log.get_logger(__name__)


class OutOfOrderError(Exception):
    """The provider does not answer, or not sensibly: the same answer may be tried again. `code` is what it did."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whom was asked, and as whom."""

    base: str
    client: Client


def answer(row: SignIn, kept: Secrets, parameters: Mapping[str, str], settings: Settings) -> str:
    """Work on an answer. Returns the id of the link that now holds the tokens; it may be an older one of this person.

    Where the link has no tokens from before, it fails with what the sign-in failed with; else it stays as it was.

    Raises:
        LinkError: CH610 to CH617 when the person may not link any more; CH630 when the link was disconnected since, or
            the provider has another address; CH634 to CH642, what is wrong with the answer.
        StateError: CH604 for another refusal of the provider, CH606 for another patient than the link's, CH602 when the
            link is gone.
        OutOfOrderError: the provider does not answer as it should.
    """
    with session(settings, read_only=True) as state:
        link = links.get_link(state, row.link_id)
        provider = link.provider
        check_may_link(state, link.person_key, provider, "direct", settings=settings)  # much can happen in an hour
        asked = _Asked(get_provider(state, provider).fhir_base_url, client_of(state, provider, settings))
    if kept.base != asked.base:
        raise LinkError("CH630", where=f"provider {provider}", what="it has another address by now")
    try:
        code = _code(kept, parameters, asked)
        tokens = _tokens(row, kept, asked, code)
    except (LinkError, StateError) as error:
        if error.code not in _NOT_THE_PERSONS:
            _fail(row.link_id, "sign_in_refused", settings)
        raise
    try:
        patient = _patient(kept, tokens, asked)
        granted = row.scope if tokens.scope is None else tokens.scope
        permissions = permitted(granted)
        if permissions.grants_nothing:
            raise LinkError("CH639", where=host(asked.base))
        if not permissions.patient_readable:
            raise LinkError("CH638", where=host(asked.base), what="scope_patient_missing")
        if patient is None:
            raise LinkError("CH640", where=host(asked.base))
        return _store(row, tokens, granted, patient, settings)
    except (LinkError, StateError) as error:
        _give_back(asked, kept, tokens)
        if error.code in {"CH638", "CH639", "CH640", "CH641"}:
            reason = "patient_not_readable" if error.code == "CH638" else "sign_in_refused"
            _fail(row.link_id, reason, settings)
        raise


def _give_back(asked: _Asked, kept: Secrets, tokens: TokenSet) -> None:
    """Revoke tokens that are not kept, as far as the provider lets us."""
    token, hint = tokens.access_token, "access_token"
    if tokens.refresh_token is not None:
        token, hint = tokens.refresh_token, "refresh_token"
    with suppress(CharthouseError):
        smart.revoke(asked.base, token, asked.client, hint=hint, configuration=kept.configuration)


def _code(kept: Secrets, parameters: Mapping[str, str], asked: _Asked) -> str:
    """The code of an answer that comes from whom was asked (RFC 9207 §2.4, RFC 6749 §4.1.2)."""
    configuration, where = kept.configuration, host(asked.base)
    issuer = parameters.get("iss")
    if issuer is not None:
        # Compared sign by sign (RFC 9207 §2.4); where the configuration names none, by origin.
        if configuration.issuer not in (None, issuer) or not is_issuer(issuer, configuration, asked.base):
            raise LinkError("CH634", where=where)
    elif configuration.authorization_response_iss_parameter_supported:
        raise LinkError("CH634", where=where, what="it names none, and the provider says that it always does")
    error = parameters.get("error")
    if error is not None:
        if error in _SAID_NO or error in _PASSING:
            raise LinkError("CH635" if error in _SAID_NO else "CH642", where=where, what=named(error))
        if error in ("invalid_client", "unauthorized_client"):
            raise LinkError("CH637", where=where, what=named(error))
        raise StateError("CH604", where=where, what=named(error))
    code = parameters.get("code", "")
    if not 0 < len(code) <= MOST_ANSWER:
        raise LinkError("CH635", where=where, what="the answer holds neither a code nor an error")
    return code


def _tokens(row: SignIn, kept: Secrets, asked: _Asked, code: str) -> TokenSet:
    try:
        return smart.exchange_code(
            kept.configuration, code, kept.code_verifier, asked.client, redirect_uri=row.redirect_uri
        )
    except FetchError as error:
        raise OutOfOrderError(error.code) from None


def _patient(kept: Secrets, tokens: TokenSet, asked: _Asked) -> str | None:
    """Whose records the tokens are for: as the answer says it, else the Patient who signed in.

    An identity token that does not hold ends the sign-in; one that cannot be judged says nothing.
    """
    signed_in = None
    if tokens.id_token is not None:
        signed_in = check_id_token(
            tokens.id_token, kept.configuration, asked.client, base_url=asked.base, nonce=kept.nonce
        )
        if signed_in is None:
            _log.info("an identity token could not be judged", where=host(asked.base))
    users = [signed_in.fhir_user if signed_in is not None else None, tokens.fhir_user]
    told = [tokens.patient.removeprefix("Patient/")] if tokens.patient is not None else []
    told += [patient for patient in (patient_of(user, asked.base) for user in users) if patient is not None]
    return next((patient for patient in told if _ID.fullmatch(patient) and patient.strip(".")), None)


def _store(row: SignIn, tokens: TokenSet, granted: str, patient: str, settings: Settings) -> str:
    """Keep the tokens with the link that is about this patient, in one transaction. Returns its id."""
    with session(settings) as state:
        link = links.get_link(state, row.link_id, lock=True)
        if link.status == "deleted":
            raise StateError("CH602", where=f"link {link.id}", what="it was deleted meanwhile")
        if state.get_one(SignIn, row.state_hash).outcome:  # the provider took its time
            raise LinkError("CH630", where=f"link {link.id}", what="it was disconnected meanwhile")
        if link.patient_id not in (None, patient):
            raise StateError("CH606", where=f"link {link.id}")
        if link.status not in DUE:
            link = links.transition(state, link.id, "pending", "signed_in_again", "person")
        link = links.identify(state, link.id, patient)
        credentials.store_tokens(
            state,
            link.id,
            replace(tokens, patient=patient, scope=granted),
            refresh_expires_at=tokens.refresh_expires_at,
            settings=settings,
        )
        return link.id


def _fail(link_id: str, reason: str, settings: Settings) -> None:
    """Let a link fail that has nothing but this sign-in. One that had tokens keeps them, and its state."""
    with session(settings) as state:
        link = links.get_link(state, link_id, lock=True)
        if link.status == "pending" and not _has_tokens(state, link):
            links.transition(state, link_id, "failed", reason, "person")


def _has_tokens(state: Session, link: Link) -> bool:
    return state.get(Credential, link.id) is not None
