"""Pages of a manifest that is not whole yet: whoever takes an export up goes on with the page behind them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from charthouse.state.seals import Sealer


class SealedShelf:
    """The pages of a job's manifest that came, until it is whole (`charthouse.partners.bulk.Shelf`).

    An address of a file may be all that it takes to read it, so they are sealed: a page a line. A torn one is asked for
    again.
    """

    def __init__(self, folder: Path, job_id: str, sealer: Sealer) -> None:
        self._file = folder / f"{job_id}.manifest"
        self._owner = f"manifest of export {job_id}"
        self._sealer = sealer

    def pages(self) -> list[tuple[str, bytes]]:
        """Address and body of each page."""
        found = []
        for line in self._file.read_bytes().splitlines() if self._file.exists() else ():
            if not self._sealer.opens(line):
                break
            url, _, body = self._sealer.open(line, self._owner).partition("\n")
            found.append((url, body.encode()))
        return found

    def add(self, url: str, body: bytes) -> None:
        """Keep one more."""
        sealed = self._sealer.seal(f"{url}\n{body.decode(errors='replace')}", self._owner)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, sealed + b"\n")
        finally:
            os.close(descriptor)

    def clear(self) -> None:
        """Forget them."""
        self._file.unlink(missing_ok=True)
