"""What the operator of a provider may ask and set, on loopback only: `/<provider>/sandbox/…`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from sandbox import grants
from sandbox.clients import ClientsError, read_clients
from sandbox.faults import FaultError
from sandbox.grants import Deed
from sandbox.inventory import resources as list_resources
from sandbox.profiles import ProfileError, changed
from sandbox.web import json_answer, json_body, operator_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.provider import Provider


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """What to do with the grants that fit all that is named."""

    act: Deed
    grant: str | None = None
    patient: str | None = None
    client_id: str | None = None


def control_routes(chosen: Callable[[str], Provider]) -> APIRouter:
    """The routes; `chosen` finds a provider by its name."""
    router = APIRouter()

    @router.get("/{name}/sandbox/people")
    def people(request: Request, name: str) -> Response:
        operator_only(request)
        return json_answer([{"patient": identity} for identity in chosen(name).store.people()])

    @router.get("/{name}/sandbox/inventory")
    def inventory(request: Request, name: str) -> Response:
        operator_only(request)
        return json_answer(chosen(name).store.inventory())

    @router.api_route("/{name}/sandbox/resources", methods=["GET", "POST"])
    async def resources(request: Request, name: str) -> Response:
        operator_only(request)
        try:
            without = msgspec.json.decode(await json_body(request), type=list[str]) if request.method == "POST" else []
        except msgspec.DecodeError:
            return json_answer({"error": "a list of ids of patients"}, status=400)
        return json_answer(await run_in_threadpool(list_resources, chosen(name).store, without))

    @router.api_route("/{name}/sandbox/requests", methods=["GET", "DELETE"])
    def requests(request: Request, name: str) -> Response:
        operator_only(request)
        return json_answer(chosen(name).counts.said(reset=request.method == "DELETE"))

    @router.api_route("/{name}/sandbox/faults", methods=["GET", "POST", "DELETE"])
    async def faults(request: Request, name: str) -> Response:
        operator_only(request)
        rules = chosen(name).faults
        if request.method == "POST":
            try:
                rules.add(await json_body(request))
            except FaultError as error:
                return json_answer({"error": str(error)}, status=400)
        elif request.method == "DELETE":
            rules.clear()
        return json_answer(rules.listed())

    @router.api_route("/{name}/sandbox/profile", methods=["GET", "POST"])
    async def profile(request: Request, name: str) -> Response:
        operator_only(request)
        provider = chosen(name)
        if request.method == "POST":
            try:
                provider.profile = changed(provider.profile, await json_body(request))
            except ProfileError as error:
                return json_answer({"error": str(error)}, status=400)
        return json_answer(msgspec.to_builtins(provider.profile))

    @router.api_route("/{name}/sandbox/clients", methods=["GET", "POST", "DELETE"])
    async def clients(request: Request, name: str) -> Response:
        operator_only(request)
        register = chosen(name).clients
        if request.method == "POST":
            try:
                register.register(read_clients(await json_body(request)))
            except ClientsError as error:
                return json_answer({"error": str(error)}, status=400)
        elif request.method == "DELETE":
            register.forget()
        return json_answer(register.listed())

    @router.api_route("/{name}/sandbox/groups", methods=["GET", "POST"])
    async def groups(request: Request, name: str) -> Response:
        operator_only(request)
        exports = chosen(name).exports
        if request.method == "POST":
            try:
                exports.groups |= msgspec.json.decode(await json_body(request), type=dict[str, list[str]])
            except msgspec.DecodeError:
                return json_answer({"error": "lists of ids of patients, by the id of their group"}, status=400)
        return json_answer(exports.groups)

    @router.get("/{name}/sandbox/exports")
    def exports(request: Request, name: str) -> Response:
        operator_only(request)
        return json_answer(chosen(name).exports.listed())

    @router.api_route("/{name}/sandbox/grants", methods=["GET", "POST"])
    async def permissions(request: Request, name: str) -> Response:
        operator_only(request)
        provider = chosen(name)
        if request.method == "GET":
            return json_answer(await run_in_threadpool(lambda: grants.listed(provider.store)))
        try:
            order = msgspec.json.decode(await json_body(request), type=_Order)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            return json_answer({"error": f"this is no order: {error}"}, status=400)
        done = await run_in_threadpool(
            lambda: grants.do(
                provider.store,
                order.act,
                provider.clock.now(),
                grant=order.grant,
                patient=order.patient,
                client_id=order.client_id,
            )
        )
        return json_answer({"grants": done})

    @router.api_route("/{name}/sandbox/brands", methods=["POST", "DELETE"])
    async def brands(request: Request, name: str) -> Response:
        operator_only(request)
        provider = chosen(name)
        if request.method == "DELETE":
            provider.brands = None
            return json_answer({"brands": "made up"})
        body = await json_body(request)
        try:
            orjson.loads(body)
        except ValueError:
            return json_answer({"error": "this is no JSON"}, status=400)
        provider.brands = body
        return json_answer({"brands": "as sent"})

    return router
