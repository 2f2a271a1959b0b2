"""b.well, the partner of the United States: people, consents, searches, connections, `$everything`, messages.

Sources, each marked where it is used: developer.bwell.com ("Application APIs": OAuth token exchange, account creation,
consent, record locator, managing connections, OAuth connection flow, health record retrieval, webhooks), the OpenAPI
documents published there, and the readme files of its FHIR server. What is asked of people's data is asked with the
person's own token, which the FHIR server narrows to that person.
"""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import msgspec

from charthouse.clock import now
from charthouse.errors import FetchError
from charthouse.partners import bwell_found, bwell_queries
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.bwell_signing import signed_at, signed_headers
from charthouse.partners.bwell_states import search_of
from charthouse.partners.discovery import read_object
from charthouse.partners.http import HttpClient
from charthouse.partners.network import Account, Found, Message, Search, Stream, Who
from charthouse.partners.partner_http import PartnerHttp
from charthouse.partners.registry import partner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from charthouse.partners.hosts import Hosts
    from charthouse.settings import Settings

SLUG: Final = "bwell"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
NDJSON: Final = "application/fhir+ndjson"
SOONER: Final = 60.0
"""Seconds before its end from which on a token is not used any more."""
MOST_TOKENS: Final = 2_000
_KEY: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OURS: Final = "urn:client:identifier"
"""The system of our own key in the Person of a message (Client Webhook API)."""


@partner(SLUG)
class BWell:
    """`Network`, as b.well does it. Safe between threads."""

    routes = frozenset({"verified"})

    def __init__(
        self, account: Account, identity: Callable[[Who], str], settings: Settings, hosts: Hosts | None = None
    ) -> None:
        self._account = account
        self._identity = identity
        self._settings = settings
        self._http = PartnerHttp(settings, account.requests_per_second, account.fhir_base_url, hosts)
        self._fhir = HttpClient(settings, hosts=self._http.hosts)
        home = origin(account.fhir_base_url)
        if home is not None:
            self._http.hosts.pace(host_of(home), account.requests_per_second)
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def person(self, who: Who) -> str:
        """The id of `userProfile`; whoever is authenticated for the first time is created (Account Creation)."""
        said = self._asked(who, bwell_queries.PROFILE, {}).get("userProfile")
        held = said if isinstance(said, dict) else {}
        if not held.get("birthDate") or not held.get("name"):
            told = self._asked(who, bwell_queries.UPDATE_PROFILE, bwell_queries.profile_of(who))
            updated = told.get("updateUserProfile")
            held = {**held, **updated} if isinstance(updated, dict) else held
        identity = held.get("id")
        if not isinstance(identity, str) or not identity:
            raise self._odd("it gives no id of the person")
        return identity

    def permit(self, who: Who) -> None:
        """The consent IAS_IMPORT_RECORDS, active and permitted: it starts the record locator."""
        self._asked(who, bwell_queries.CREATE_CONSENT, bwell_queries.consent("PERMIT"))

    def forbid(self, who: Who) -> None:
        """The same consent, denied: it takes the place of the one before, and holds at once."""
        self._asked(who, bwell_queries.CREATE_CONSENT, bwell_queries.consent("DENY"))

    def search(self, who: Who) -> Search:
        """The newest task `network-data-retrieval` of the person's."""
        tasks = list(self._searched(who, "Task", {"code": "network-data-retrieval"}))
        dated = sorted(tasks, key=lambda task: str(task.get("authoredOn") or task.get("lastModified") or ""))
        word = str(dated[-1].get("status", "")) if dated else ""
        return Search(search_of(word), word[:64]) if dated else Search("none")

    def found(self, who: Who) -> list[Found]:
        """What is connected (`getMemberConnections`), each with its patient, and what is recommended (CareTeam)."""
        said = self._asked(who, bwell_queries.CONNECTIONS, {})
        listed = said.get("getMemberConnections")
        if not isinstance(listed, list):
            raise self._odd("it lists no connections")
        connected = bwell_found.connections(listed, bwell_found.patients_of(said.get("subscriptionStatuses")))
        teams = self._searched(who, "CareTeam", {"category": "recommended-connections"})
        known = {one.organization for one in connected}
        return connected + [one for one in bwell_found.recommended(teams) if one.organization not in known]

    def patient(self, who: Who, patient_id: str) -> Mapping[str, Any] | None:
        """The Patient, by the person's own token."""
        said = read_object(self._read(who, f"{self._base}/Patient/{quote(patient_id, safe='')}"))
        return said if said is not None and said.get("resourceType") == "Patient" else None

    def sign_in_url(self, who: Who, organization: str) -> str:
        """`getOauthUrl` (OAuth Connection Flow)."""
        said = self._asked(who, bwell_queries.OAUTH_URL, {"connectionId": organization}).get("getOauthUrl")
        url = said.get("redirectUrl") if isinstance(said, dict) else None
        there = origin(url) if isinstance(url, str) else None
        if not isinstance(url, str) or there is None or not url.isprintable():
            raise self._odd("it gives no address to sign in at")
        return url

    def disconnect(self, who: Who, organization: str) -> None:
        """`disconnectConnection`: nothing is retrieved any more, and what was stays."""
        self._asked(who, bwell_queries.DISCONNECT, {"connectionId": organization})

    def delete(self, who: Who, organization: str) -> None:
        """`deleteConnection`: what was retrieved goes, too."""
        self._asked(who, bwell_queries.DELETE, {"connectionId": organization})

    def forget(self, key: str) -> bool:
        """`DELETE /users/{id}` (User Data Operations). It is accepted with 202 and must not be sent again then."""
        if self._account.users_url is None:
            return False
        url = f"{self._account.users_url.rstrip('/')}/users/{quote(key, safe='')}"
        headers = signed_headers(
            "DELETE",
            url,
            b"",
            secret=self._account.secret,
            client_key=self._account.client_key,
            user=key,
            at=now(),
        )
        status = self._http.send("DELETE", url, b"", headers, again=False).status
        if status == 401:
            raise FetchError("CH175", where=self._where)
        return status in {200, 202, 204, 404}

    def everything(self, who: Who, partner_person_id: str, since: str | None) -> Stream:
        """`Person/{id}/$everything` as NDJSON: narrowed to the person, where that of a Patient is not."""
        query = f"?{urlencode({'_since': since})}" if since else ""
        url = f"{self._base}/Person/{quote(partner_person_id, safe='')}/$everything{query}"
        return Stream(url, NDJSON, lambda renew: self._token(who, renew=renew), after="id:above")

    def message(self, headers: Mapping[str, str], body: bytes) -> Message:
        """A FHIR message Bundle (Client Webhook API), signed for the address that b.well has of us."""
        account = self._account
        if account.webhook_url is None or not account.webhook_secrets:
            raise FetchError("CH186", where=SLUG, what="no secret is set")
        at = signed_at(
            "POST", account.webhook_url, headers, body, secrets=account.webhook_secrets, client_key=account.client_key
        )
        if at is None:
            raise FetchError("CH186", where=SLUG)
        if abs(now() - at) > timedelta(minutes=self._settings.network_message_minutes):
            raise FetchError("CH187", where=SLUG)
        return message_of(body)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def _base(self) -> str:
        return self._account.fhir_base_url.rstrip("/")

    @property
    def _where(self) -> str:
        there = origin(self._account.api_url)
        return host_of(there) if there is not None else SLUG

    def _odd(self, what: str) -> FetchError:
        return FetchError("CH176", where=self._where, what=what)

    def _asked(self, who: Who, query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """The `data` of a GraphQL answer. A token that is refused is exchanged once more."""
        url = f"{self._account.api_url.rstrip('/')}/v1/graphql"
        body = msgspec.json.encode({"query": query, "variables": variables})
        for renew in (False, True):
            token = self._token(who, renew=renew)
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            reply = self._http.send("POST", url, body, headers)
            if reply.status != 401:
                break
        if reply.status == 401:
            raise FetchError("CH175", where=self._where)
        if reply.status >= 400:
            raise FetchError("CH177", where=self._where, what=f"HTTP {reply.status}")
        data = reply.said.get("data")
        if reply.said.get("errors") and not (isinstance(data, dict) and any(data.values())):
            raise FetchError("CH177", where=self._where, what="the query was answered with errors")
        if not isinstance(data, dict):
            raise self._odd("its answer holds no data")
        return data

    def _searched(self, who: Who, kind: str, parameters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """The matches of a search at the FHIR server, page by page."""
        url: str | None = f"{self._base}/{kind}?{urlencode(parameters)}"
        for _ in range(self._settings.max_pages):
            if url is None:
                return
            page = read_object(self._read(who, url)) or {}
            for entry in page.get("entry") or ():
                resource = entry.get("resource") if isinstance(entry, dict) else None
                if isinstance(resource, dict) and resource.get("resourceType") == kind:
                    yield resource
            links = [link for link in page.get("link") or () if isinstance(link, dict)]
            following = next((link.get("url") for link in links if link.get("relation") == "next"), None)
            there = origin(following) if isinstance(following, str) else None
            url = following if there is not None and there == origin(self._base) else None

    def _read(self, who: Who, url: str) -> bytes:
        try:
            return self._fhir.get(url, token=self._token(who)).body
        except FetchError as error:
            if error.code != "CH102":
                raise
        return self._fhir.get(url, token=self._token(who, renew=True)).body

    def _token(self, who: Who, *, renew: bool = False) -> str:
        """The person's token at b.well, for our own identity token of them (RFC 8693, OAuth Token Exchange)."""
        with self._lock:
            held = self._tokens.get(who.key)
        if held is not None and not renew and held[1] > time.monotonic():
            return held[0]
        form = {
            "grant_type": EXCHANGE,
            "subject_token": self._identity(who),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        url = f"{self._account.api_url.rstrip('/')}/identity/oauth/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = self._http.send("POST", url, urlencode(form).encode(), headers)
        token, life = reply.said.get("access_token"), reply.said.get("expires_in")
        if reply.status in {400, 401, 403}:
            raise FetchError("CH175", where=self._where)
        if reply.status >= 400 or not isinstance(token, str) or not _can_be_sent(token):
            raise self._odd("it gives no token")
        seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else 300.0
        with self._lock:
            if len(self._tokens) >= MOST_TOKENS:
                self._tokens.clear()
            self._tokens[who.key] = token, time.monotonic() + max(0.0, seconds - SOONER)
        return token


def message_of(body: bytes) -> Message:
    """What a message Bundle says.

    Raises:
        FetchError: CH188 for what is none.
    """
    said = read_object(body) or {}
    entries = [entry.get("resource") for entry in said.get("entry") or () if isinstance(entry, dict)]
    resources = [resource for resource in entries if isinstance(resource, dict)]
    header = resources[0] if resources else {}
    coding = header.get("eventCoding")
    event = coding.get("code") if isinstance(coding, dict) else None
    identity = said.get("id")
    if (said.get("resourceType"), said.get("type"), header.get("resourceType")) != (
        "Bundle",
        "message",
        "MessageHeader",
    ):
        raise FetchError("CH188", where=SLUG, what="it is no Bundle of type message that begins with a MessageHeader")
    if not isinstance(identity, str) or not 1 <= len(identity) <= 255 or not isinstance(event, str) or not event:
        raise FetchError("CH188", where=SLUG, what="it has no id, or no event")
    people = [resource for resource in resources if resource.get("resourceType") == "Person"]
    keys = {
        identifier.get("value")
        for person in people
        for identifier in person.get("identifier") or ()
        if isinstance(identifier, dict) and identifier.get("system") == _OURS
    }
    key = keys.pop() if len(keys) == 1 else None
    return Message(identity, event[:64], key if isinstance(key, str) and _KEY.fullmatch(key) else None)


def _can_be_sent(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and " " not in token
