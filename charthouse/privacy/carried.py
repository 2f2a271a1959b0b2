"""What a restore carries over from the state that it replaces: receipts, and the keys by which they are checked.

They are written down before anything is exchanged. A restore that is killed afterwards finds them here, for the state
that had them is gone.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import LargeBinary

from charthouse.files import write_whole
from charthouse.state.base import UtcDateTime
from charthouse.state.linking import SigningKey
from charthouse.state.privacy import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Proof = SigningKey | Receipt
_KINDS: dict[str, type[Proof]] = {kind.__tablename__: kind for kind in (SigningKey, Receipt)}


def write(file: Path, proofs: Sequence[Proof]) -> None:
    """Write proofs down; the private halves of keys are sealed in their rows.

    Raises:
        OSError: it cannot be written.
    """
    said = [{"of": proof.__tablename__, "row": _row(proof)} for proof in proofs]
    write_whole(file, orjson.dumps(said))
    file.chmod(0o600)


def read(file: Path) -> list[Proof]:
    """What `write` wrote; nothing where a restore of before this marked its way with an empty file."""
    text = file.read_bytes()
    return [_KINDS[said["of"]](**_values(_KINDS[said["of"]], said["row"])) for said in orjson.loads(text or b"[]")]


def _row(proof: Proof) -> dict[str, Any]:
    values = {column.key: getattr(proof, column.key) for column in proof.__table__.columns}
    return {key: base64.b64encode(said).decode() if isinstance(said, bytes) else said for key, said in values.items()}


def _values(kind: type[Proof], row: dict[str, Any]) -> dict[str, Any]:
    return {key: _value(kind.__table__.columns[key].type, said) for key, said in row.items()}


def _value(kind: Any, said: Any) -> Any:
    if said is not None and isinstance(kind, LargeBinary):
        return base64.b64decode(said)
    return datetime.fromisoformat(said) if said is not None and isinstance(kind, UtcDateTime) else said
