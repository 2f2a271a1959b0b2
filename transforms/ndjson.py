"""Lines of a Bulk Data export: whose they are, without reading those of others, and pages made of them.

An output file holds one resource a line (Bulk Data Access 3.0, output files). A line is a slice of the file and is
never written again by us, as in `transforms.bundles`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from transforms.bundles import Stub, references, resource_stub
from transforms.checking.ownership import compartment, patient_of, patients_at
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_PATIENT: Final = re.compile(rb'Patient\\?/([^"/\\?#|\s]+)')
_DELETED: Final = re.compile(r"(?:.*/)?([A-Z][A-Za-z]{1,63})/([^/?#\s]+)(?:/_history/[^/?#\s]+)?")
_HEAD: Final = b'{"resourceType":"Bundle","type":"searchset","entry":['
_TAIL: Final = b"]}"

BY_TARGET: Final = "Provenance"
"""The type that is of whoever its targets are of, and need not name the person."""
OF_SEVERAL: Final = frozenset({"Group"})
"""Types that list people beside each other: whoever reads one reads of the others."""


class _Reference(msgspec.Struct):
    reference: str | None = None


class _About(msgspec.Struct):
    subject: _Reference | None = None
    patient: _Reference | None = None


_ABOUT: Final = msgspec.json.Decoder(_About)
_PLAIN: Final = frozenset({("subject",), ("patient",)})
"""Where most types name their subject: one reference, at the top."""


class TornLineError(ValueError):
    """A line is no JSON object. It holds nothing of the line."""


def page(lines: Iterable[bytes]) -> bytes:
    """Lines as one page that `transforms.bundles.read_page` reads: each resource's bytes as they came."""
    entries = b",".join(b'{"resource":' + line + b',"search":{"mode":"match"}}' for line in lines)
    return _HEAD + entries + _TAIL


def owners(line: bytes, patients: Collection[str], bases: Sequence[str], stub: Stub | None = None) -> set[str]:
    """Those of `patients` whom a resource is about, by the elements that name its subject.

    Most lines name it at the top, and no more of them is taken in than that; others that mention none of them are
    passed over by their bytes alone. `bases` are the FHIR bases below which absolute
    references count as the server's own. `stub` is `resource_stub` of the line, where it is known already.

    Raises:
        TornLineError: the line mentions one of them and is no JSON object.
    """
    kind, name, _ = stub or resource_stub(line)
    if kind == "Patient" and name is not None:
        if name not in patients:
            return set()
        if not is_whole(line):
            raise TornLineError
        return {name}
    if kind in OF_SEVERAL:
        return set()
    subject = _subject_paths(kind) if kind is not None else ()
    if len(subject) == 1 and subject[0] in _PLAIN and line.isascii():  # what is passed over is not held against UTF-8
        try:
            about = _ABOUT.decode(line)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            said = about.subject if subject[0] == ("subject",) else about.patient
            named = patient_of(said.reference, bases) if said is not None and said.reference is not None else None
            return {named} if named is not None and named in patients else set()
    candidates = {found.decode("utf-8", "replace") for found in _PATIENT.findall(line)}.intersection(patients)
    if not candidates:
        return set()
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise TornLineError from None
    if not isinstance(resource, dict):
        return set()
    return candidates & patients_at(resource, subject, bases)


def is_about_somebody(line: bytes, bases: Sequence[str]) -> bool:
    """Whether a resource is a Patient, or names one as its subject, whoever that is."""
    kind = resource_stub(line)[0]
    if kind == "Patient":
        return True
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(resource, dict) or kind is None:
        return False
    return bool(patients_at(resource, _subject_paths(kind), bases))


@lru_cache(maxsize=1024)  # a file may name any types
def _subject_paths(kind: str) -> tuple[tuple[str, ...], ...]:
    """Where a resource of a type says whom it is about; nowhere for what is no type of R4."""
    return compartment(kind).subject if kind in r4().resources else ()


def targets(line: bytes, bases: Sequence[str]) -> set[str]:
    """What a Provenance is about, as `Type/id`: it is whose that is. Empty for what cannot be read."""
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        return set()
    about = {"target": resource.get("target")} if isinstance(resource, dict) else {}
    return set().union(*(references(orjson.dumps(about), base) for base in bases or ("",)))


def is_whole(line: bytes) -> bool:
    """Whether a line is JSON."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def deletions(line: bytes) -> Iterator[tuple[str, str]]:
    """The type and id of each resource that a line of a `deleted` file says is gone: a Bundle whose entries are DELETE.

    Raises:
        TornLineError: the line is no JSON object.
    """
    for entry in _items(_object(line).get("entry")):
        request = entry.get("request")
        said = request if isinstance(request, dict) else {}
        url = said.get("url") or entry.get("fullUrl")
        if str(said.get("method", "DELETE")).upper() == "DELETE" and isinstance(url, str):
            named = _DELETED.fullmatch(url)
            if named:
                yield named[1], named[2]


def failed_types(line: bytes) -> set[str]:
    """The types that an OperationOutcome says something failed of; `*` for an error that names none.

    Where a server says which type it is about, it does so in `expression` or the older `location` (R4 §4.14). Its
    other words are for people.

    Raises:
        TornLineError: the line is no JSON object.
    """
    found: set[str] = set()
    for issue in _items(_object(line).get("issue")):
        if issue.get("severity") not in {"fatal", "error"}:
            continue
        named = set()
        for key in ("expression", "location"):
            paths = issue.get(key)
            for path in paths if isinstance(paths, list) else [paths]:
                kind = re.split(r"[./?\[]", path, maxsplit=1)[0] if isinstance(path, str) else ""
                if kind in r4().resources:
                    named.add(kind)
        found |= named or {"*"}
    return found


def in_categories(line: bytes, categories: Collection[str]) -> bool:
    """Whether a resource bears one of the categories (`system|code`, or a bare code) that a granular scope names."""
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    concepts = resource.get("category") if isinstance(resource, dict) else None
    for concept in _items(concepts if isinstance(concepts, list) else [concepts]):
        for coding in _items(concept.get("coding")):
            if {f"{coding.get('system')}|{coding.get('code')}", coding.get("code")} & set(categories):
                return True
    return False


def _object(line: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise TornLineError from None
    if not isinstance(said, dict):
        raise TornLineError
    return said


def _items(items: object) -> Iterator[dict[str, Any]]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            yield item
