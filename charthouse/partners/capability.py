"""What a FHIR server says it can do: its CapabilityStatement (FHIR R4 §5.3), read leniently.

Statements in the field miss parts that the standard requires. What is absent is taken as "not said", which is not the
same as "not offered": a type without `interaction` may be searched, a type without `searchParam` is worth asking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from charthouse.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from charthouse.partners.http import Answer, HttpClient

MOST_TYPES: Final = 500
LONGEST_LINE: Final = 120
"""Signs of a software's name, a publisher or a description that are kept."""
_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}")
OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


@dataclass(frozen=True, slots=True)
class TypeCapability:
    """What a server offers for one resource type. An empty set means that the server did not say."""

    interactions: frozenset[str] = frozenset()
    search_params: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()

    @property
    def can_search(self) -> bool:
        """Whether the type can be searched."""
        return "search-type" in self.interactions or not self.interactions

    @property
    def can_read(self) -> bool:
        """Whether one resource can be read by its id."""
        return "read" in self.interactions or not self.interactions

    def takes(self, parameter: str) -> bool:
        """Whether a search parameter is declared, or may be: nothing at all was declared."""
        return parameter in self.search_params or not self.search_params


@dataclass(frozen=True, slots=True)
class Capability:
    """A server's offer: per type, the parameters that all types share, and the OAuth addresses that it names itself.

    `oauth` has the keys of the SMART extension: `authorize`, `token`, `revoke`, `introspect`, `manage`. `software` is
    the name and version of what serves, `publisher` and `implementation` are who says so and of which installation; a
    line each, empty where it is not said.
    """

    types: Mapping[str, TypeCapability]
    search_params: frozenset[str]
    oauth: Mapping[str, str]
    software: str = ""
    publisher: str = ""
    implementation: str = ""

    def has_last_updated(self, resource_type: str) -> bool:
        """Whether `_lastUpdated` is declared, for the type or for all. An undeclared one would silently be ignored."""
        own = self.types.get(resource_type, TypeCapability())
        return "_lastUpdated" in own.search_params or "_lastUpdated" in self.search_params

    def has_id(self, resource_type: str) -> bool:
        """Whether `_id` is declared, for the type or for all."""
        own = self.types.get(resource_type, TypeCapability())
        return own.can_search and ("_id" in own.search_params or "_id" in self.search_params)


def fetch_capability(client: HttpClient, base_url: str, *, token: str | None = None) -> Capability:
    """Read `/metadata` and what it offers.

    Raises:
        FetchError: as `HttpClient.get`; CH112 if what came is no CapabilityStatement of R4.
    """
    return parse_capability(fetch_statement(client, base_url, token=token).body)


def fetch_statement(client: HttpClient, base_url: str, *, token: str | None = None, etag: str | None = None) -> Answer:
    """Read `/metadata`, with `etag` only if it has changed since.

    It needs no token by the standard; where a server asks for one all the same, `token` is sent.

    Raises:
        FetchError: as `HttpClient.get`.
    """
    url = f"{base_url.rstrip('/')}/metadata"
    try:
        return client.get(url, etag=etag)
    except FetchError as error:
        if not token or error.code not in {"CH102", "CH103"}:
            raise
        return client.get(url, token=token, etag=etag)


def parse_capability(body: bytes) -> Capability:
    """Read a CapabilityStatement's body.

    Raises:
        FetchError: CH112 for other content, another FHIR version than R4 or R4B, or no type or far too many.
    """
    try:
        statement = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FetchError("CH112", where="/metadata", what="no JSON") from None
    if not isinstance(statement, dict) or statement.get("resourceType") != "CapabilityStatement":
        raise FetchError("CH112", where="/metadata", what="no CapabilityStatement")
    version = statement.get("fhirVersion")
    if isinstance(version, str) and not version.startswith("4."):
        raise FetchError("CH112", where="/metadata", what="its fhirVersion is not 4.x")
    types: dict[str, TypeCapability] = {}
    shared: set[str] = set()
    oauth: dict[str, str] = {}
    for rest in _objects(statement.get("rest")):
        if rest.get("mode", "server") != "server":
            continue
        shared |= _names(rest.get("searchParam"), "name")
        oauth |= _oauth(rest.get("security"))
        for resource in _objects(rest.get("resource")):
            name = resource.get("type")
            if isinstance(name, str) and _TYPE.fullmatch(name):
                types[name] = _merged(types.get(name), resource)
    if len(types) > MOST_TYPES:
        raise FetchError("CH112", where="/metadata", what="it names more types than any FHIR version has")
    if not types:
        raise FetchError("CH112", where="/metadata", what="it names no resource type")
    return Capability(
        types=MappingProxyType(types),
        search_params=frozenset(shared),
        oauth=MappingProxyType(oauth),
        software=_line(statement, "software", "name", "version"),
        publisher=_line({"": statement}, "", "publisher"),
        implementation=_line(statement, "implementation", "description"),
    )


def _line(statement: dict[str, Any], part: str, *names: str) -> str:
    """Texts of a part of the statement, on one line."""
    said = next(_objects(statement.get(part)), {})
    words = [said[name] for name in names if isinstance(said.get(name), str)]
    return " ".join(" ".join(words).split())[:LONGEST_LINE]


def _merged(known: TypeCapability | None, resource: dict[str, Any]) -> TypeCapability:
    """A type's offer; some servers list a type once for each profile."""
    known = known or TypeCapability()
    includes = resource.get("searchInclude")
    listed = {item for item in includes if isinstance(item, str)} if isinstance(includes, list) else set()
    return TypeCapability(
        interactions=known.interactions | _names(resource.get("interaction"), "code"),
        search_params=known.search_params | _names(resource.get("searchParam"), "name"),
        includes=known.includes | listed,
    )


def _oauth(security: object) -> dict[str, str]:
    found = {}
    for part in _objects(security):
        for extension in _objects(part.get("extension")):
            if extension.get("url") != OAUTH_URIS:
                continue
            for entry in _objects(extension.get("extension")):
                name, value = entry.get("url"), entry.get("valueUri") or entry.get("valueUrl")
                if isinstance(name, str) and isinstance(value, str):
                    found[name] = value
    return found


def _names(items: object, key: str) -> set[str]:
    return {item[key] for item in _objects(items) if isinstance(item.get(key), str)}


def _objects(items: object) -> Iterator[dict[str, Any]]:
    """The objects of a list; a single object where a list belongs counts as a list of one."""
    for item in items if isinstance(items, list) else [items]:
        if isinstance(item, dict):
            yield item
