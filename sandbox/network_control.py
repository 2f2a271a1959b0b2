"""The network for its operator, on loopback only: clients, habits, people, connections, messages, requests."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import msgspec
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from sandbox.network import Client, Habits
from sandbox.network_messages import deliver, message
from sandbox.web import json_answer, json_body, operator_only

if TYPE_CHECKING:
    from sandbox.network_web import NetworkWeb


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    """A message for a client. `ago` is how long ago it was signed, `times` how often it is sent."""

    key: str
    event: str = "records-updated"
    id: str | None = None
    ago: float = 0
    times: int = 1
    secret: str | None = None
    client_key: str | None = None


def network_control(web: NetworkWeb) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/network/sandbox")
    network = web.network

    @router.api_route("/clients", methods=["GET", "POST"])
    async def clients(request: Request) -> Response:
        operator_only(request)
        if request.method == "POST":
            try:
                client = msgspec.json.decode(await json_body(request), type=Client)
            except msgspec.DecodeError as error:
                return json_answer({"error": str(error)}, status=400)
            await run_in_threadpool(network.register, client)
        return json_answer(sorted(network.clients))

    @router.api_route("/habits", methods=["GET", "POST"])
    async def habits(request: Request) -> Response:
        operator_only(request)
        if request.method == "POST":
            try:
                network.behave(msgspec.json.decode(await json_body(request), type=Habits))
            except msgspec.DecodeError as error:
                return json_answer({"error": str(error)}, status=400)
        return json_answer(msgspec.to_builtins(network.habits))

    @router.get("/people")
    def people(request: Request) -> Response:
        operator_only(request)
        with network.lock:
            said = [
                {
                    "key": one.key,
                    "id": one.id,
                    "consent": one.consent,
                    "task": one.task,
                    "searches": one.searches,
                    "connections": {name: [held.status, held.sync_status] for name, held in one.connections.items()},
                    "recommended": sorted(one.recommended),
                }
                for one in network.people.values()
            ]
        return json_answer({"people": said, "deleted": network.deleted})

    @router.api_route("/requests", methods=["GET", "DELETE"])
    def asked(request: Request) -> Response:
        operator_only(request)
        instants = sorted(web.instants)
        busiest, first = 0, 0
        for last, at in enumerate(instants):
            while at - instants[first] >= 1.0:
                first += 1
            busiest = max(busiest, last - first + 1)
        said = {"counts": dict(web.counts), "busiest_second": busiest, "total": len(instants)}
        if request.method == "DELETE":
            web.counts.clear()
            web.instants.clear()
        return json_answer(said)

    @router.post("/connections")
    async def connections(request: Request) -> Response:
        operator_only(request)
        said = orjson.loads(await json_body(request))
        moved = network.move(network.people[said["key"]], said["organization"], said["status"])
        return json_answer({"moved": moved is not None})

    @router.post("/messages")
    async def messages(request: Request) -> Response:
        operator_only(request)
        order = msgspec.json.decode(await json_body(request), type=_Sent)
        client = network.clients[order.client_key or next(iter(network.clients))]
        held = network.people.get(order.key)
        identity = order.id or str(uuid.uuid4())
        body = message(identity, order.event, held.id if held else "unknown", order.key, str(client.webhook_url))
        at = time.time() - order.ago
        sent = [
            await run_in_threadpool(deliver, client, body, order.key, at, secret=order.secret)
            for _ in range(order.times)
        ]
        return json_answer({"id": identity, "statuses": sent})

    return router
