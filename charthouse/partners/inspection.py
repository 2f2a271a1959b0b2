"""A first look at a FHIR server that somebody names: whether it is one, of which version, and whether it lets us read.

Each reason why it cannot serve is one numbered sentence. Error texts name the host and never what the server wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from charthouse.errors import FetchError
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.capability import parse_capability
from charthouse.partners.discovery import read_object
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from charthouse.partners.capability import Capability
    from charthouse.partners.http import Answer, HttpClient

USUAL_BASES: Final = ("/fhir", "/baseR4", "/r4", "/fhir/r4", "/fhir/R4", "/api/FHIR/R4")
"""Where FHIR servers have their base below an origin: HAPI's starter, hapi.fhir.org, Oracle Health, AWS, Epic."""
VERSIONS: Final = {"0": "DSTU1", "1": "DSTU2", "3": "STU3", "5": "R5", "6": "R6"}
"""The releases of FHIR by the first digit of `fhirVersion` (FHIR R4, ValueSet FHIRVersion)."""
_NEARBY: Final = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[::1\]")
_BEHIND: Final = frozenset({"metadata", ".well-known", "$export", "_history"})
_XML: Final = re.compile(rb"\s*<(?:\?xml|CapabilityStatement|Conformance|OperationOutcome)\b")
_LOCKED: Final = frozenset({"CH102", "CH103"})
_NOT_THERE: Final = frozenset({"CH104", "CH105", "CH111", "CH121"})


@dataclass(frozen=True, slots=True)
class Inspected:
    """A server that can serve: its base, its offer, and the name and version of its software, if it says them."""

    base: str
    offer: Capability
    software: str

    @property
    def host(self) -> str:
        """`host:port`, as errors and pages name it."""
        home = origin(self.base)
        return host_of(home) if home else ""


def fhir_base(written: str) -> str:
    """The FHIR base that somebody means, from the address as they write or paste it.

    Without a scheme it is https, and http on this machine. What stands behind the base (`/metadata`, `/Patient/…`, a
    query) is cut off.

    Raises:
        FetchError: CH130 for what is no http(s) address, or carries a login.
    """
    text = written.strip().strip("<>\"'")
    if "://" not in text:
        text = f"{'http' if _NEARBY.match(text) else 'https'}://{text}"
    home = origin(text)
    if home is None or not text.isprintable() or any(sign.isspace() for sign in text):
        raise FetchError("CH130", what="it is no http(s) address")
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise FetchError("CH130", where=host_of(home), what="it carries a login; a token goes into a file: TOKEN_FILE=")
    steps = parts.path.rstrip("/").split("/")
    end = next((place for place, step in enumerate(steps) if step in _BEHIND or _is_resource(step)), len(steps))
    return urlunsplit((parts.scheme.lower(), parts.netloc, "/".join(steps[:end]), "", ""))


def _is_resource(step: str) -> bool:
    known = r4().types.get(step)
    return known is not None and known.kind == "resource"


def inspect(client: HttpClient, base: str, token: str | None = None) -> Inspected:
    """Look at the server at a base. `/metadata` is read without the token first, as the standard has it.

    Raises:
        FetchError: CH130 for an address at which there is no FHIR server, with the one below it where there is one;
            CH131 for another version than R4; CH132 and CH133 where it wants a token, or another one; CH139 where no
            Patient can be had; CH101, CH109, CH120 as `HttpClient.get`.
    """
    home = origin(base)
    host = host_of(home) if home else ""
    try:
        return _read(_metadata(client, base, token, host).body, base, host)
    except FetchError as error:
        if error.code != "CH130":
            raise
        found = _elsewhere(client, base)
        told = f"{error.what}; there is one at {found}" if found else error.what
        raise FetchError("CH130", where=host, what=told) from None


def refused(error: FetchError, host: str, token: str | None) -> FetchError:
    """What a 401 or 403 means to whoever brings a token, or none."""
    return FetchError("CH132" if not token else "CH133", where=host, what=error.what)


def _metadata(client: HttpClient, base: str, token: str | None, host: str) -> Answer:
    url = f"{base}/metadata"
    try:
        try:
            return client.get(url)
        except FetchError as error:
            if not token or error.code not in _LOCKED:
                raise
            return client.get(url, token=token)
    except FetchError as error:
        if error.code in _LOCKED:
            raise refused(error, host, token) from None
        if error.code in _NOT_THERE:
            why = "it redirects elsewhere" if error.code == "CH121" else error.what or "no JSON came"
            raise FetchError("CH130", where=host, what=f"/metadata: {why}") from None
        raise


def _read(body: bytes, base: str, host: str) -> Inspected:
    said = read_object(body)
    if said is None:
        what = "XML came, and JSON was asked for" if _XML.match(body) else "a web page came"
        raise FetchError("CH130", where=host, what=what if body.lstrip()[:1] == b"<" else "no JSON came")
    if said.get("resourceType") == "Conformance":
        raise FetchError("CH131", where=host, what="it is DSTU2")
    if said.get("resourceType") != "CapabilityStatement":
        raise FetchError("CH130", where=host, what="/metadata is no CapabilityStatement")
    version = said.get("fhirVersion")
    if isinstance(version, str) and not version.startswith("4."):
        raise FetchError("CH131", where=host, what=f"it is {VERSIONS.get(version[:1], 'another')}")
    offer = parse_capability(body)
    patient = offer.types.get("Patient")
    if patient is None or not (patient.can_read or patient.can_search):
        raise FetchError(
            "CH139", where=host, what="it offers no Patient" if patient is None else "nobody reads Patient"
        )
    return Inspected(base, offer, offer.software)


def _elsewhere(client: HttpClient, base: str) -> str | None:
    """A usual base below the one that was named, or beside it, at which there is a FHIR server of R4."""
    parts = urlsplit(base)
    root = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    tried = {base}
    for place in (*(base + usual for usual in USUAL_BASES[:1]), *(root + usual for usual in USUAL_BASES)):
        if place in tried:
            continue
        tried.add(place)
        try:
            return _read(client.get(f"{place}/metadata").body, place, "").base
        except FetchError as error:
            if error.code in {"CH101", "CH109"}:
                return None
    return None
