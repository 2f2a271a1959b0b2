"""The network's endpoints: identity, GraphQL, FHIR, users, the page where people sign in; and those for the operator.

/network/identity/oauth/token      a client's identity token of a user for a token of the network's (RFC 8693)
/network/v1/graphql                the Application API
/network/fhir/4_0_0/…              Person/$everything, Patient, Task, CareTeam: what the token's person may see
/network/users/{id}                DELETE, signed by HMAC
/network/connect/…                 where a person signs in at a found provider
/network/sandbox/…                 for the operator (`sandbox/network_control.py`)
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import orjson
import requests
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from sandbox import network_stream
from sandbox.graphql import QueryError, parse, project
from sandbox.network import ACTIVE
from sandbox.network_messages import is_signed
from sandbox.store import microseconds
from sandbox.web import hang_up, html, json_answer, json_body, origin_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from sandbox.network import Client, Network, Person

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
NDJSON: Final = "application/fhir+ndjson"
LIVES: Final = 3600.0
CHUNK: Final = 2**18


class NetworkWeb:
    """What the routes share: the network, tokens, tickets of sign-ins, and what was asked."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.tokens: dict[str, tuple[Person, float]] = {}
        self.tickets: dict[str, tuple[Person, str]] = {}
        self.counts: Counter[str] = Counter()
        self.instants: list[float] = []

    def asked(self, what: str) -> Response | None:
        """Count a request; an answer in place of the right one, where the network behaves so."""
        habits = self.network.habits
        now = time.monotonic()
        self.counts[what] += 1
        self.instants.append(now)
        if habits.rate is not None and sum(1 for at in self.instants[-10_000:] if now - at < 1.0) > habits.rate:
            self.counts["429"] += 1
            return json_answer({"error": "too many requests"}, status=429, headers={"Retry-After": "1"})
        if habits.refuses is not None and not what.startswith("sandbox"):
            return json_answer({"error": "refused"}, status=habits.refuses)
        return None

    def person(self, request: Request) -> Person | None:
        """Whose token a request bears."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        held = self.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if held is None or held[1] < time.time() or held[0].key not in self.network.people:
            return None
        return held[0]

    def exchanged(self, form: Mapping[str, list[str]]) -> Response:
        """A token of the network's, for an identity token of a registered client."""
        if form.get("grant_type") != [EXCHANGE]:
            return json_answer({"error": "unsupported_grant_type"}, status=400)
        try:
            subject = form["subject_token"][0]
            claims = orjson.loads(jws.extract_compact(subject.encode()).payload)
            client = self.network.clients[claims["aud"]]
            kid = jws.extract_compact(subject.encode()).headers().get("kid")
            key = next(one for one in _keys_of(client)["keys"] if one.get("kid") == kid)
            proven = dict(jwt.decode(subject, jwk.import_key(key), algorithms=["RS256", "ES256"]).claims)
            if proven["exp"] < time.time() or (client.issuer is not None and proven["iss"] != client.issuer):
                raise ValueError
            uuid.UUID(str(proven["sub"]))
        except (JoseError, ValueError, KeyError, TypeError, IndexError, StopIteration, requests.RequestException):
            return json_answer({"error": "invalid_request"}, status=401)
        person = self.network.authenticated(client.client_key, proven)
        token = secrets.token_urlsafe(32)
        self.tokens[token] = person, time.time() + LIVES
        said = {"access_token": token, "token_type": "Bearer", "expires_in": int(LIVES)}
        return json_answer(said | {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})

    def answered(self, person: Person, said: Mapping[str, Any], origin: str) -> Response:
        """A GraphQL operation."""
        try:
            fields = parse(str(said["query"]), said.get("variables") or {})
            data = {
                one.name: project(self._root(person, one.name, one.arguments, origin), one.selected) for one in fields
            }
        except QueryError as error:
            return json_answer({"errors": [{"message": str(error)}]}, status=400)
        except (KeyError, TypeError, IndexError, AttributeError):
            return json_answer({"data": None, "errors": [{"message": "Variables do not fit"}]})
        return json_answer({"data": data})

    def _root(self, person: Person, name: str, given: Mapping[str, Any], origin: str) -> Any:
        network = self.network
        if name == "userProfile":
            return _profile(person)
        if name == "updateUserProfile":
            network.describe(person, given["input"])
            return _profile(person)
        if name == "createConsent":
            return network.consent(person, given["consentInput"])
        if name == "getMemberConnections":
            return network.connections(person)
        if name == "subscriptionStatuses":
            return {"entry": [{"resource": one} for one in network.subscription_statuses(person)]}
        if name == "getOauthUrl":
            ticket = secrets.token_urlsafe(24)
            self.tickets[ticket] = person, str(given["connectionId"])
            return {"redirectUrl": f"{origin}/network/connect/{ticket}"}
        if name in ("disconnectConnection", "deleteConnection"):
            status = "DISCONNECTED" if name == "disconnectConnection" else "DELETED"
            moved = network.move(person, str(given["connectionId"]), status)
            if moved is None:
                raise QueryError("Connection not found")
            return {"id": moved.organization.id, "status": moved.status, "syncStatus": moved.sync_status}
        raise QueryError(f"Cannot query field {name!r}")

    def lines(self, person: Person, query: Mapping[str, list[str]]) -> Iterator[bytes]:
        """The lines of a stream, as they come; an empty one asks to hang up."""
        network, habits = self.network, self.network.habits
        since = microseconds(query["_since"][0]) if "_since" in query else None
        types = frozenset(query["_type"][0].split(",")) if "_type" in query else frozenset[str]()
        above = "" if habits.deaf_to_above else query.get("id:above", [""])[0]
        stop = habits.late_outcome if habits.late_outcome is not None else habits.cut
        if stop is not None:
            with network.lock:
                stop = stop if network.faults_left > 0 else None
                network.faults_left -= 1
        held = [one for one in person.connections.values() if one.status in ACTIVE]
        extra = list(network_stream.bookkeeping(network, person)) if not types else []
        if habits.foreign_patient:
            extra += network_stream.strangers(network, person)
        if habits.sends_hidden and held:
            extra += network_stream.tagged(person, held[0].patient)
        listed: list[tuple[str, Any]] = [(row[0], row) for row in network_stream.rows_of(network, person, since, types)]
        listed += extra
        sent = 0
        for identity, what in sorted(listed, key=lambda one: one[0]):
            if above and identity <= above:
                continue
            if stop is not None and sent >= stop:
                yield network_stream.OUTCOME + b"\n" if habits.late_outcome is not None else b""
                return
            yield (what if isinstance(what, bytes) else network_stream.body_of(network, what)) + b"\n"
            sent += 1


def network_routes(web: NetworkWeb) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/network")
    network = web.network

    @router.post("/identity/oauth/token")
    async def token(request: Request) -> Response:
        instead = web.asked("token")
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        return instead or await run_in_threadpool(web.exchanged, form)

    @router.post("/v1/graphql")
    async def graphql(request: Request) -> Response:
        instead = web.asked("graphql")
        if instead is not None:
            return instead
        person = web.person(request)
        if person is None:
            return json_answer({"errors": [{"message": "Unauthorized"}]}, status=401)
        said = orjson.loads(await json_body(request))
        return await run_in_threadpool(web.answered, person, said, origin_of(request))

    @router.get("/fhir/4_0_0/Person/{identity}/$everything")
    async def everything(request: Request, identity: str) -> Response:
        instead, person = web.asked("everything"), web.person(request)
        if instead is not None or person is None:
            return instead or _outcome(401, "login")
        if person.id != identity:
            return _outcome(403, "forbidden")
        if NDJSON not in request.headers.get("accept", ""):
            return _outcome(406, "not-supported")
        lines = web.lines(person, parse_qs(request.url.query))
        return StreamingResponse(_streamed(request, lines, network.habits.slow_lines), media_type=NDJSON)

    @router.get("/fhir/4_0_0/Patient/{identity}")
    async def patient(request: Request, identity: str) -> Response:
        instead, person = web.asked("patient"), web.person(request)
        if instead is not None or person is None:
            return instead or _outcome(401, "login")
        return await run_in_threadpool(_patient, network, person, identity)

    @router.get("/fhir/4_0_0/{kind}")
    async def searched(request: Request, kind: str) -> Response:
        instead, person = web.asked(f"search {kind}"), web.person(request)
        if instead is not None or person is None:
            return instead or _outcome(401, "login")
        found = {"Task": network.tasks, "CareTeam": network.care_teams}.get(kind)
        if found is None:
            return _outcome(404, "not-found")
        entries = [{"resource": resource} for resource in await run_in_threadpool(found, person)]
        return json_answer({"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries})

    @router.delete("/users/{key}")
    async def forget(request: Request, key: str) -> Response:
        instead = web.asked("users")
        body, url = await request.body(), f"{origin_of(request)}{request.url.path}"
        client = network.clients.get(request.headers.get("x-bwell-client-key", ""))
        headers = {name.lower(): value for name, value in request.headers.items()}
        if instead is not None:
            return instead
        if client is None or not is_signed("DELETE", url, body, headers, client, time.time()):
            return json_answer({"error": "Unauthorized"}, status=401)
        if not network.forget(key):
            return json_answer({"error": "User not found"}, status=404)
        return json_answer({"message": "User profile deletion initiated successfully."}, status=202)

    @router.get("/connect/{ticket}")
    async def page(ticket: str) -> Response:
        held = web.tickets.get(ticket)
        if held is None:
            return html(b"<!doctype html><title>Gone</title><p>This page is no longer good.", 404)
        name = escape(network.organizations[held[1]].name) if held[1] in network.organizations else "?"
        text = (
            f"<!doctype html><html lang=en><title>Sign in</title><h1>{name}</h1>"
            f"<form method=post><button name=decision value=allow type=submit>Sign in and share</button></form>"
        )
        return html(text.encode())

    @router.post("/connect/{ticket}")
    async def decide(ticket: str) -> Response:
        held = web.tickets.pop(ticket, None)
        fine = held is not None and network.signed_in(*held)
        text = f"<!doctype html><html lang=en><title>Done</title><p>{'Connected' if fine else 'Not connected'}."
        return html(text.encode(), 200 if fine else 404)

    return router


def _patient(network: Network, person: Person, identity: str) -> Response:
    with network.lock:
        held = [one for one in person.connections.values() if one.patient == identity and one.status in ACTIVE]
    for connection in held:
        store = network.providers[connection.organization.provider].store
        row = store.db.execute(
            "SELECT b.body FROM resource r JOIN body b ON b.seq = r.seq WHERE r.type = 'Patient' AND r.id = ?"
            " AND r.gone = 0",
            [identity],
        ).fetchone()
        if row is not None:
            return Response(bytes(row[0]), media_type="application/fhir+json")
    return _outcome(404, "not-found")


async def _streamed(request: Request, lines: Iterator[bytes], slow: float) -> AsyncIterator[bytes]:
    """Lines in chunks, made on a thread; what hangs up does so behind the lines before it."""

    def some() -> tuple[bytes, bool, bool]:
        parts, size = [], 0
        for line in lines:
            if not line:
                return b"".join(parts), True, True
            parts.append(line)
            size += len(line)
            if size >= CHUNK or slow:
                return b"".join(parts), False, False
        return b"".join(parts), True, False

    over = cut = False
    while not over:
        chunk, over, cut = await run_in_threadpool(some)
        if chunk:
            yield chunk
        if slow:
            await asyncio.sleep(slow)
    if cut:
        await asyncio.sleep(0.05)
        await hang_up(request)


def _profile(person: Person) -> dict[str, Any]:
    name = [{"family": person.family, "given": list(person.given)}] if person.family else []
    return {"id": person.id, "name": name, "birthDate": person.birth_date or None}


def _keys_of(client: Client) -> dict[str, Any]:
    if client.jwks is not None:
        return client.jwks
    answer = requests.get(str(client.jwks_uri), timeout=5)
    answer.raise_for_status()
    return dict(answer.json())


def _outcome(status: int, code: str) -> Response:
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
    return Response(orjson.dumps(said), status, media_type="application/fhir+json")
