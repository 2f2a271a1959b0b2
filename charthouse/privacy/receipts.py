"""Receipts: signed accounts of what was erased, without saying of whom. A person knows theirs by a code.

The code is given when the request is made. A receipt holds a hash of its own id under that code, so whoever has the
code can show that a receipt is theirs, and nobody else can tell whose it is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from charthouse.errors import PrivacyError
from charthouse.files import write_whole
from charthouse.privacy import signing
from charthouse.privacy.registry import PLACES
from charthouse.settings import Settings, get_settings
from charthouse.state import session as state_session
from charthouse.state import tombstones
from charthouse.state.base import now
from charthouse.state.privacy import PrivacyRequest, Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from charthouse.privacy.scan import Proof
    from charthouse.privacy.subjects import Subject

FORM: Final = "charthouse-receipt/1"
LEFT: Final = {
    "erase": "a keyed hash that knows a restored backup for what it is; audit events without a subject; this receipt",
    "delete_link": "the link's row and its events, without a patient; a keyed hash; this receipt",
}
_CODE_BYTES: Final = 10


def code_of(request_id: str, settings: Settings | None = None) -> str:
    """The code by which a person will know the receipt of a request: `ABCD-EFGH-IJKL-MNOP`. The same whenever asked."""
    secret = tombstones.opened(settings).secret(f"receipt code {request_id}")[:_CODE_BYTES]
    text = base64.b32encode(secret).decode().rstrip("=")
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def issue(subject: Subject, proof: Proof, settings: Settings | None = None) -> Path:
    """Write the receipt of a subject, as a row and as a file; issued before, it is the same one. Returns its file."""
    settings = settings or get_settings()
    with state_session(settings) as state:
        standing = state.get(Receipt, subject.receipt_id)
        asked_at = state.scalar(select(PrivacyRequest.asked_at).where(PrivacyRequest.id == subject.request_id))
    if standing is None:
        said = _document(subject, proof, code_of(subject.request_id, settings))
        said["asked_at"] = asked_at.isoformat(timespec="seconds") if asked_at else None
        document = signing.sign(said, settings=settings)
        with state_session(settings) as state:
            standing = Receipt(id=subject.receipt_id, kind=subject.kind, issued_at=now(), document=document)
            state.add(standing)
    file = file_of(subject.receipt_id, settings)
    settings.receipts.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(file, standing.document.encode() + b"\n")
    return file


def file_of(receipt_id: str, settings: Settings | None = None) -> Path:
    """Where the receipt of that id is."""
    return (settings or get_settings()).receipts / f"{receipt_id}.json"


def check(text: str, jwks: Mapping[str, Any], code: str | None = None) -> dict[str, Any]:
    """What a receipt says, if one of these public keys signed it; with `code`, if it is the receipt of that code.

    Raises:
        PrivacyError: CH904 when it does not hold, CH914 when it is somebody else's.
    """
    said = signing.verify(text.strip(), jwks)
    if said.get("form") != FORM:
        raise PrivacyError("CH904", what="it is no receipt")
    if code is not None and not hmac.compare_digest(_about(code, str(said["id"])), str(said["about"]["digest"])):
        raise PrivacyError("CH914")
    return said


def _document(subject: Subject, proof: Proof, code: str) -> dict[str, Any]:
    needles = subject.needles
    return {
        "form": FORM,
        "id": subject.receipt_id,
        "act": subject.kind,
        "done_at": now().isoformat(timespec="seconds"),
        "about": {"algorithm": "HMAC-SHA256", "key": "code", "over": "id", "digest": _about(code, subject.receipt_id)},
        "erased": dict(sorted(subject.gone.items())),
        "places": sorted(place.name for place in PLACES if not place.is_empty),
        "proof": {
            "method": "bytes of all files, packed and encrypted ones opened; rows of all databases",
            "files": proof.files,
            "bytes": proof.bytes,
            "databases": proof.databases,
            "looked_for": len(needles.hard | needles.soft | needles.words),
            "held_by_others_too": proof.shared,
            "too_short_or_plain": needles.short,
            "found": 0,
        },
        "left": LEFT[subject.kind],
        "not_covered": "copies outside: backups (erased again when they are restored), mails at their receivers",
    }


def _about(code: str, receipt_id: str) -> str:
    plain = re.sub(r"[^A-Z2-7]", "", code.upper())
    return hmac.new(plain.encode(), receipt_id.encode(), hashlib.sha256).hexdigest()
