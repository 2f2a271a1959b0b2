"""References inside a resource's text: found, resolved and replaced without touching any other byte.

A transaction names its own resources by `fullUrl` (`urn:uuid:…` or absolute) and others by search (`Practitioner?
identifier=…`, FHIR R4 §3.1.0.11.2); a server that stores it writes `Type/id` in their place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qsl

import msgspec

from transforms import ids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["conditional", "urn", "absolute"]

_KEY: Final = b'"reference"'
_VALUE: Final = re.compile(rb'\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_URL: Final = re.compile(rb'("url"\s*:\s*")(urn:(?:uuid|oid):[^"\\]*)"')
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]{1,63})\?(.+)", re.DOTALL)
_RESTFUL: Final = re.compile(rf"(https?://\S+)/([A-Z][A-Za-z]{{1,63}}/{ids.ID})(?:/_history/[^/]+)?")
_URN: Final = re.compile(
    r"urn:(?:uuid:(?=[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$)|oid:)([A-Za-z0-9\-.]{1,64})"
)
ID: Final = re.compile(ids.ID)


@dataclass(slots=True)
class Names:
    """What the resources of one Bundle are called.

    `known` maps what they call each other (a `fullUrl`, or a `Type/id` that had to change) to `Type/id`; `bases` are
    the servers that their absolute `fullUrl`s name. `searches` remembers, over Bundles, the conditional references met:
    there are few, and each comes up thousands of times.
    """

    known: dict[bytes, bytes] = field(default_factory=dict)
    bases: set[str] = field(default_factory=set)
    searches: dict[bytes, str] = field(default_factory=dict)

    def add(self, full_url: str | None, target: str, own: str | None) -> None:
        """Learn that a resource, `own` in its Bundle, is stored as `target`."""
        if full_url:
            self.known.setdefault(full_url.encode(), target.encode())
            match = _RESTFUL.fullmatch(full_url)
            if match and match[2] in (own, target):
                self.bases.add(match[1])
        if own and own != target:
            self.known[own.encode()] = target.encode()


def kind_of(reference: str) -> Kind | None:
    """Of which kind a reference is that only the whole source can resolve; None for all others."""
    if reference.startswith(("urn:uuid:", "urn:oid:")):
        return "urn"
    if reference.startswith("http"):
        return "absolute" if _RESTFUL.fullmatch(reference) else None
    return "conditional" if _CONDITIONAL.fullmatch(reference) else None


def localise(raw: bytes, names: Names) -> tuple[bytes, list[str]]:
    """Replace what one Bundle can resolve itself. Returns the text and what is left to resolve, with repeats."""
    left: list[str] = []

    def resolve(found: bytes) -> bytes | None:
        search = names.searches.get(found)
        if search is not None:
            left.append(search)
            return None
        reference = _unescaped(found)
        target = names.known.get(reference.encode())
        if target is not None:
            return target
        kind = kind_of(reference)
        if kind == "conditional":
            names.searches[found] = reference
        if kind == "absolute":
            match = _RESTFUL.fullmatch(reference)
            if match and match[1] in names.bases:
                own = match[2].encode()
                return names.known.get(own, own)
        if kind:
            left.append(reference)
        return None

    return _replace(raw, names.known, resolve), left


def settle(raw: bytes, resolved: Mapping[bytes, bytes]) -> tuple[bytes, list[Kind]]:
    """Replace what the whole source could resolve. Returns the text and the kinds of what nobody could."""
    left: list[Kind] = []

    def resolve(found: bytes) -> bytes | None:
        reference = _unescaped(found)
        target = resolved.get(reference.encode())
        kind = kind_of(reference) if target is None else None
        if kind:
            left.append(kind)
        return target

    return _replace(raw, resolved, resolve), left


def _replace(raw: bytes, known: Mapping[bytes, bytes], resolve: Callable[[bytes], bytes | None]) -> bytes:
    """The text with each reference replaced that `known` (as it stands) or `resolve` has an answer for."""
    # Splitting at the key is several times as fast as a regular expression that looks for it.
    parts = raw.split(_KEY)
    changed = False
    for index in range(1, len(parts)):
        match = _VALUE.match(parts[index])
        if match is None:
            continue
        found = match[1]
        target = known.get(found)
        if target is None:
            if found[:1] == b"#":
                continue
            target = resolve(found)
            if target is None:
                continue
        parts[index] = parts[index][: match.start(1)] + target + parts[index][match.end(1) :]
        changed = True
    text = _KEY.join(parts) if changed else raw
    if b'"urn:' in text:
        text = _URL.sub(lambda match: match[1] + (resolve(match[2]) or match[2]) + b'"', text)
    return text


def identifier_query(reference: str) -> tuple[str, str | None, str] | None:
    """A conditional reference as (type, system or None for any, value); None where it searches for anything else."""
    match = _CONDITIONAL.fullmatch(reference)
    if not match:
        return None
    pairs = parse_qsl(match[2].replace("+", "%2B"), keep_blank_values=True)
    if len(pairs) != 1 or pairs[0][0] != "identifier":
        return None
    system, bar, value = pairs[0][1].partition("|")
    return (match[1], system, value) if bar else (match[1], None, system)


def restful_target(reference: str) -> tuple[str, str, str] | None:
    """Server, type and id of an absolute reference."""
    match = _RESTFUL.fullmatch(reference)
    if not match:
        return None
    kind, _, identity = match[2].partition("/")
    return match[1], kind, identity


def name_in(full_url: str | None, type_name: str) -> str | None:
    """The id that a `fullUrl` gives a resource that has none: that of a UUID, an OID, or a RESTful address."""
    if full_url is None:
        return None
    found = _URN.fullmatch(full_url)
    if found:
        return found[1]
    target = restful_target(full_url)
    return target[2] if target and target[1] == type_name else None


def _unescaped(text: bytes) -> str:
    if b"\\" in text:
        try:
            return msgspec.json.decode(b'"' + text + b'"', type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
    return text.decode("utf-8", "replace")
