"""Resources of several links in one Bundle: each under its own name, every reference led there or taken out."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from transforms.ids import ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Key = tuple[str, str, str]
"""(link, type, id)."""

_TARGET: Final = re.compile(rf"(?:.*/)?([A-Z][A-Za-z]{{1,63}})/({ID})(?:/_history/{ID})?")
OUTSIDE: Final = "Not part of this summary"


def name_of(key: Key) -> str:
    """The id that a resource has in the Bundle: the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(key)))


def full_url(key: Key) -> str:
    """Where a resource is found in the Bundle."""
    return f"urn:uuid:{name_of(key)}"


def targets(resource: Any, link_id: str) -> Iterator[Key]:
    """What a resource refers to."""
    for reference in _references(resource):
        key = _target(reference["reference"], link_id)
        if key is not None:
            yield key


def led(resource: dict[str, Any], key: Key, urls: Mapping[Key, str], patient: str) -> dict[str, Any]:
    """The resource as an entry. `urls` are those of everything that is in the Bundle. Changes `resource`.

    The provider's own narrative is left out: it is markup of somebody else.
    """
    contained = {each.get("id") for each in resource.get("contained", ()) if isinstance(each, dict)}
    for reference in list(_references(resource)):
        said = reference["reference"]
        if said.startswith("#") and said[1:] in contained:
            continue
        target = _target(said, key[0])
        url = patient if target is not None and target[1] == "Patient" else urls.get(target) if target else None
        if url is not None:
            reference["reference"] = url
        else:
            del reference["reference"]
            if not isinstance(reference.get("display"), str):
                reference["display"] = OUTSIDE
    resource.pop("text", None)
    resource["id"] = name_of(key)
    return resource


def _target(reference: str, link_id: str) -> Key | None:
    found = _TARGET.fullmatch(reference)
    return None if found is None else (link_id, found[1], found[2])


def _references(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > 40:
        return
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value
        for each in value.values():
            if isinstance(each, dict | list):
                yield from _references(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each, depth + 1)
