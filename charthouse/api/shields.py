"""What stands around the app as plain ASGI layers: ids, masked addresses, size and time of bodies, headers, HEAD.

Each reads as little as it can: a body that is too large is refused before it has been read.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from charthouse.api import MOUNT, problems
from charthouse.errors import ApiError, PhoneError
from charthouse.log import get_logger
from transforms.health_connect import LIMITS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 1_000_000
BODY_SECONDS = 30.0
"""How long the next piece of a body may keep us waiting."""
_LOG = get_logger(__name__)
# What an address holds that may sign somebody in, or off.
_SECRET_PATHS = re.compile(r"^(.*/(?:start|unsubscribe|downloads))/.+$")
_CHUNKS = re.compile(r"/links/[^/]+/uploads/[^/]+$")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}


class Shield:
    """The outermost layer: whatever happens inside, the answer has an id and safe headers, and no log has its query.

    The servers that this app may stand in write access logs from the scope that they handed over; what they see of it
    has neither the query (`code`, `state`) nor the secret part of a path.
    """

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self.app = app
        self.headers = dict(HEADERS)
        if urlsplit(public_url).scheme == "https":
            self.headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        inner = dict(scope)
        _mask(scope)
        inner["charthouse.request_id"] = str(uuid.uuid4())
        if inner["method"] == "HEAD":
            inner["method"] = "HEAD" if once_only(inner["path"]) else "GET"
            send = _without_body(send)
        began, status, started = time.monotonic(), 500, False

        async def say(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = inner["charthouse.request_id"]
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(inner, receive, say)
        except Exception as error:  # the framework answers first and raises then, for its server to log
            if not started:
                await problems.of_exception(Request(inner), error)(inner, receive, say)
        finally:
            _LOG.info(
                "request",
                method=scope["method"],
                route=getattr(inner.get("route"), "path", "-"),
                status=status,
                ms=round(1000 * (time.monotonic() - began)),
                request_id=inner["charthouse.request_id"],
            )


class BodyLimit:
    """No body beyond BODY_BYTES, declared or not; and none that stops on its way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        most, error = _most(scope)
        if not declared.isdecimal() or int(declared[:20]) > most:
            await problems.answer(Request(scope), error)(scope, receive, send)
            return
        taken, started = 0, False

        async def take() -> Message:
            nonlocal taken
            try:
                async with asyncio.timeout(BODY_SECONDS):  # wait_for makes a task of each piece
                    message = await receive()
            except TimeoutError:
                raise ApiError("CH820") from None
            taken += len(message.get("body", b""))
            if taken > most:
                raise error
            return message

        async def say(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, take, say)
        except (ApiError, PhoneError) as refused:
            if started:
                raise
            await problems.answer(Request(scope), refused)(scope, receive, send)


def _most(scope: Scope) -> tuple[int, ApiError | PhoneError]:
    """How large a body may be, and what is said of a larger one: chunks of uploads are as large as Health Connect's."""
    if scope["method"] == "PATCH" and _CHUNKS.search(scope["path"]):
        return LIMITS.chunk_bytes, PhoneError("CH978")
    return BODY_BYTES, ApiError("CH808")


def once_only(path: str) -> bool:
    """Whether a GET of this address uses something up: looking at its headers alone (HEAD) must not."""
    return path.endswith("/callback") or "/downloads/" in path


def _mask(scope: Scope) -> None:
    scope["query_string"] = b""
    masked = _SECRET_PATHS.sub(r"\1/-", scope["path"])
    if masked != scope["path"]:
        scope["path"], scope["raw_path"] = masked, masked.encode()


def _without_body(send: Send) -> Send:
    async def say(message: Message) -> None:
        if message["type"] == "http.response.body":
            if message.get("more_body"):
                return
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return say


__all__ = ["BODY_BYTES", "MOUNT", "BodyLimit", "Shield", "once_only"]
