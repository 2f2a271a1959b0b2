"""What a provider serves no longer, told from what it was not asked for, refused, or could not bring.

Silence says something only where everything of a kind was asked for and all of it came. A type that the person did not
grant, that was refused, failed or came in part says nothing, and neither does one whose server warned that there may be
more. Where a type was had by its parts, a part speaks for the resources that bear its category and for no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import orjson

from charthouse.files import write_whole
from charthouse.lake import vault
from charthouse.sync.landing import is_reference
from charthouse.sync.phone import MEDICAL
from transforms.health_connect import medical_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import duckdb

    from charthouse.linking.links import LinkWork
    from charthouse.state.bulk import GoneReason
    from charthouse.sync.batches import Batch
    from charthouse.sync.landing import Manifest, QueryRecord

Key = tuple[str, str, str]
"""Link, type and id of a resource."""
NOT_FOUND: Final = "not_found.json"
_PAIRS: Final = msgspec.json.Decoder(list[tuple[str, str]])
NAMED_BY_OPERATION: Final = ("$export", "$everything")
"""Labels of what came by an operation, which brings types whole."""
_WHOLE: Final = ""
"""In a set of parts: the type whole."""


def write_not_found(folder: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Leave in a link's folder which resources were not there when they were read by themselves: type and id."""
    listed = sorted(pairs)
    if listed:
        write_whole(folder / NOT_FOUND, msgspec.json.encode(listed))


def found(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    work: Iterable[LinkWork],
    manifests: Mapping[str, Manifest | None],
) -> dict[Key, GoneReason]:
    """What the vault holds of a batch's links and the batch shows to be served no longer, after it was appended."""
    links = {link.link_id: link for link in work}
    parts: dict[tuple[str, str], set[str]] = {}
    not_found: set[Key] = set()
    for link_id, link in links.items():
        manifest = manifests.get(link_id)
        if manifest is None or not _speaks(manifest):
            continue
        not_found |= {(link_id, *pair) for pair in _not_found(batch.folder / link_id, manifest, link.patient_id)}
        if _has_patient(manifest):
            parts |= {(link_id, kind): labels for kind, labels in _read_whole(manifest.queries).items()}
    people = {links[link_id].person_key for link_id, _ in parts} | {links[key[0]].person_key for key in not_found}
    gone: dict[Key, GoneReason] = {}
    for whole in (True, False):
        asked = [each for each, labels in parts.items() if (_WHOLE in labels) is whole]
        for key, text in vault.unseen(connection, people, asked, (batch.checked, batch.quarantined), texts=not whole):
            if whole or _parts_of(text) & parts[key[0], key[1]]:
                gone[key] = "not_served"
    held = vault.held_among(connection, people, not_found)
    return gone | dict.fromkeys(held, "not_found")


def _speaks(manifest: Manifest) -> bool:
    """Whether a link's silence can say anything: it was read to its end, with a grant that lives."""
    return manifest.status != "failed" and not any(said.unit == "link" for said in manifest.outcomes)


def _has_patient(manifest: Manifest) -> bool:
    """Whether the Patient came, where it was asked for: who is shown nobody is shown nothing of anybody."""
    asked = [query for query in manifest.queries if query.type == "Patient" and not is_reference(query)]
    return not asked or any(
        query.status == "complete" and (query.resources or query.mode == "incremental") for query in asked
    )


def _read_whole(queries: Iterable[QueryRecord]) -> dict[str, set[str]]:
    """The types of which all came: of a whole or of parts, by what names the part (`category=laboratory`)."""
    read: dict[str, set[str]] = {}
    for query in queries:
        if query.exhaustive:
            part = "" if query.label.startswith(NAMED_BY_OPERATION) else query.label.partition("?")[2]
            read.setdefault(query.type, set()).add(part)
    return read


def _parts_of(text: str) -> set[str]:
    """The parts that a resource is of, by its categories, its intent and its medical type."""
    try:
        resource = orjson.loads(text)
    except orjson.JSONDecodeError:
        return set()
    concepts = resource.get("category")
    found = {f"intent={resource.get('intent')}", f"{MEDICAL}{medical_type(resource)}"}
    for concept in concepts if isinstance(concepts, list) else [concepts]:
        codings = concept.get("coding") if isinstance(concept, dict) else None
        for coding in codings if isinstance(codings, list) else ():
            if isinstance(coding, dict) and isinstance(coding.get("code"), str):
                found |= {f"category={coding['code']}", f"category={coding.get('system')}|{coding['code']}"}
    return found


def _not_found(folder: Path, manifest: Manifest, patient_id: str) -> Iterator[tuple[str, str]]:
    """What answered 404 or 410 when it was read by itself."""
    file = folder / NOT_FOUND
    if file.exists():
        yield from _PAIRS.decode(file.read_bytes())
    # Where nothing else came either, it may be the base that is not there.
    others = any(query.status == "complete" and query.resources for query in manifest.queries)
    if others and any(query.type == query.label == "Patient" and query.code == "CH104" for query in manifest.queries):
        yield "Patient", patient_id
