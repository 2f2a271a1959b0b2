"""Servers as the state database remembers them, from night to night and for all workers."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from charthouse.clock import now
from charthouse.errors import StateError
from charthouse.log import get_logger
from charthouse.partners.knowledge import NOTHING_LEARNT, Learnt
from charthouse.state import session
from charthouse.state.servers import FhirServer
from charthouse.sync.servers import Remembered

if TYPE_CHECKING:
    from charthouse.settings import Settings

LONGEST_STATEMENT: Final = 8 * 2**20
"""Bytes of a statement that is kept, packed; the largest ones of the field have half a megabyte unpacked."""
LONGEST_ETAG: Final = 512
log = get_logger(__name__)


class StateMemory:
    """Reads and writes the table `fhir_server`. Where the state database is out of reach, nothing is remembered."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def recall(self, base: str) -> Remembered | None:
        """What is remembered of a base; None where that is nothing, or cannot be read."""
        try:
            with session(self._settings, read_only=True) as state:
                row = state.get(FhirServer, base)
                if row is None:
                    return None
                statement = gzip.decompress(row.statement)
                return Remembered(statement, row.etag, row.digest, _learnt(row.learnt))
        except (StateError, OSError, EOFError, zlib.error):
            log.warning("a server is not remembered")
            return None

    def keep(self, base: str, remembered: Remembered) -> None:
        """Remember a base as it is now."""
        packed = gzip.compress(remembered.statement, 6, mtime=0)
        if len(packed) > LONGEST_STATEMENT:
            return
        etag = remembered.etag if remembered.etag is not None and len(remembered.etag) <= LONGEST_ETAG else None
        row = FhirServer(
            base=base,
            etag=etag,
            statement=packed,
            digest=remembered.digest,
            learnt=msgspec.to_builtins(remembered.learnt),
            read_at=now(),
        )
        try:
            with session(self._settings) as state:
                state.merge(row)
        except StateError:
            log.warning("a server could not be remembered")


def _learnt(kept: object) -> Learnt:
    try:
        return msgspec.convert(kept, Learnt)
    except msgspec.ValidationError:
        return NOTHING_LEARNT
