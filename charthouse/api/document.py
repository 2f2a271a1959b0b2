"""The OpenAPI 3.1 document: what the framework gathers from the routes, and what it cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from charthouse.api import MOUNT
from charthouse.api.guard import REPLAYED, Guarded
from charthouse.api.problems import CONTENT_TYPE, status_of

if TYPE_CHECKING:
    from fastapi import FastAPI

VERSION = "1.0.0"
_TAGS = {
    "people": "Account holders, by their random keys.",
    "consents": "What they agreed to.",
    "providers": "Who holds records.",
    "links": "One person at one provider: the sign-in, its states, its end.",
    "phones": "What Health Connect on a person's phone holds: uploaded in chunks that can be gone on with.",
    "notices": "What people were told.",
    "exports": "Everything that is held about a person, to be taken away.",
    "preferences": "How and where they want to be told.",
    "pages": "For people's browsers. No token: the address itself is the secret.",
    "about": "For anybody.",
}
_DESCRIPTION = """The API of the app's back end. Every route but the pages and those `about` the service asks for a
service token, which acts for one person or as operator (docs/api.md). What a token may not see is answered like what is
not there.
Errors are problems (RFC 9457) with the numbers of docs/errors.md."""

_HEADER = {
    "RateLimit": (
        "string",
        "What is left, and in how many seconds there is more (draft-ietf-httpapi-ratelimit-headers).",
    ),
    "RateLimit-Policy": ("string", "The limit itself."),
    "X-Request-Id": ("string", "The id under which the log knows the request."),
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text of the caller's, such as a UUID: the same request with the same key gets the same answer "
    "for 24 hours, and is done once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]+$"},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}
_EXAMPLES = {
    401: "CH801",
    403: "CH805",
    404: "CH806",
    429: "CH812",
    503: "CH819",
    422: "CH811",
    413: "CH808",
    415: "CH809",
    400: "CH810",
    409: "CH813",
    410: "CH940",
    416: "CH941",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title="Charthouse",
            version=VERSION,
            openapi_version="3.1.0",
            summary="Links people to their medical records.",
            description=_DESCRIPTION,
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
            servers=[{"url": MOUNT}],
            license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        )
        parts = made.setdefault("components", {})
        parts["securitySchemes"] = {
            "serviceToken": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A service token of minutes: `charthouse tokens issue` makes one for trying.",
            }
        }
        for name in ("HTTPValidationError", "ValidationError"):
            parts.get("schemas", {}).pop(name, None)
        guarded = {(route.path, method) for route in _routes(app) for method in route.methods or ()}
        for path, item in made["paths"].items():
            for method, operation in item.items():
                _complete(operation, method, guarded=(path, method.upper()) in guarded)
        app.openapi_schema = made
    return app.openapi_schema


def _routes(app: FastAPI) -> list[Guarded]:
    return [route for route in app.routes if isinstance(route, Guarded)]


def _complete(operation: dict[str, Any], method: str, *, guarded: bool) -> None:
    if guarded:
        operation["security"] = [{"serviceToken": []}]
        if method == "post":
            operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
            operation["responses"].setdefault("409", _problem(409, "The first request with this key is still at work."))
            operation["responses"].setdefault("422", _problem(422, "The key was used for another request."))
            operation["responses"].setdefault("400", _problem(400, "The Idempotency-Key cannot be used."))
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        problem = content.pop("application/json", None) if int(status) >= 400 else None
        if problem is not None:
            response["content"] = _problem(int(status), "")["content"]
        response.setdefault("headers", {}).update(_headers(int(status), method, guarded=guarded))


def _headers(status: int, method: str, *, guarded: bool) -> dict[str, Any]:
    told = {
        name: {"description": text, "schema": {"type": kind}}
        for name, (kind, text) in _HEADER.items()
        if status != 401 or name == "X-Request-Id"
    }
    if status in (429, 503):
        told["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "string"}}
    if status == 401:
        told["WWW-Authenticate"] = {
            "description": "What is wrong with the token (RFC 6750).",
            "schema": {"type": "string"},
        }
    if guarded and method == "post" and status < 500:
        told[REPLAYED] = {"description": "Present where the answer was given before.", "schema": {"type": "string"}}
    return told


def _problem(status: int, description: str) -> dict[str, Any]:
    from charthouse.errors import CATALOGUE

    code = _EXAMPLES.get(status, "CH811")
    entry = CATALOGUE[code]
    example = {
        "type": f"urn:charthouse:error:{code}",
        "title": entry.title,
        "status": status_of(code),
        "detail": entry.mend,
        "instance": "urn:uuid:7d0b4f0e-4b9e-4a51-a0f6-3d8c9c5d2f11",
        "code": code,
    }
    if status_of(code) != status:
        example["status"] = status
    return {
        "description": description,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
