"""The list of everything that is in an export, signed: whoever has our public key can tell that nothing was changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from charthouse.privacy import signing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charthouse.privacy.export.archive import Listed
    from charthouse.settings import Settings

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.jws"
KEYS: Final = "keys.json"
OWN: Final = frozenset({MANIFEST, SIGNATURE, KEYS})
"""What the list itself is made of, and does not name."""
FORMAT: Final = "charthouse-export/1"


def manifest(listed: Sequence[Listed], said: Mapping[str, Any]) -> bytes:
    """The list as JSON, one file a line. `said` is what it tells of the export beside that."""
    head = orjson.dumps({"format": FORMAT, **said})[:-1]
    files = b",\n".join(
        orjson.dumps(
            {
                "path": each.path,
                "sha256": each.sha256,
                "size": each.size,
                "media_type": each.media_type,
                "part": each.part,
            }
        )
        for each in listed
    )
    return head + b',"files":[\n' + files + b"\n]}\n"


def signature(content: bytes, keys: bytes, said: Mapping[str, Any], settings: Settings | None = None) -> bytes:
    """What proves the list: a signed document that names its SHA-256, and that of the keys beside it.

    Raises:
        SetupError: CH006 when our key cannot be opened.
    """
    digests = {"manifest_sha256": hashlib.sha256(content).hexdigest(), "keys_sha256": hashlib.sha256(keys).hexdigest()}
    document = {"type": FORMAT, **digests, **said}
    return signing.sign(document, settings=settings).encode() + b"\n"


def keys(settings: Settings | None = None) -> bytes:
    """Our public keys."""
    return orjson.dumps(signing.public_keys(settings), option=orjson.OPT_INDENT_2) + b"\n"
