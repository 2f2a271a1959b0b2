"""The log of an export, in the form that tools for bulk data share: `log.ndjson`, an event a line.

Its events and their fields are those of the log that the reference client writes (smart-on-fhir/bulk-data-client, "Bulk
Data Export Log Items", version 2). An address may be all that it takes to read a file, and its query may name people:
of a file's address only the server is written, and a digest that tells one file from another.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from charthouse.partners.bulk import ExportRequest
    from charthouse.partners.bulk_manifest import ExportFile, ManifestPage

NAME: Final = "log.ndjson"
_HEADERS: Final = ("content-type", "date", "expires", "retry-after", "server", "x-progress")
_ITEMS: Final = {"output": "output", "deleted": "deleted", "error": "error"}


class BulkLog:
    """The log of one job; events of a night that goes on with it are appended."""

    def __init__(self, folder: Path, job_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / NAME
        self._job_id = job_id

    def kickoff(
        self, url: str, request: ExportRequest, software: Mapping[str, Any], headers: Mapping[str, str]
    ) -> None:
        """An export was asked for, and the server has taken it on. `software` is of its CapabilityStatement."""
        given = {"_type": ",".join(request.types) or None, "_since": request.since}
        self._event(
            "kickoff",
            {
                "exportUrl": url,
                "softwareName": software.get("name"),
                "softwareVersion": software.get("version"),
                "softwareReleaseDate": software.get("releaseDate"),
                "fhirVersion": software.get("fhirVersion"),
                "requestParameters": {name: value for name, value in given.items() if value is not None},
                "errorCode": None,
                "errorBody": None,
                "responseHeaders": {name: value for name, value in headers.items() if name.lower() in _HEADERS},
                "logVersion": "2",
            },
            {"_client": "charthouse", "_clientVersion": version("charthouse")},
        )

    def progress(self, percent: int | None, retry_after: float | None) -> None:
        """The server is still at it."""
        said = None if percent is None else f"{percent}%"
        self._event("status_progress", {"body": None, "xProgress": said, "retryAfter": retry_after})

    def failed(self, code: str) -> None:
        """The export, or asking for its status, failed; `code` is our number of it."""
        self._event("status_error", {"body": None, "code": None, "message": code, "responseHeaders": None})

    def complete(self, pages: tuple[ManifestPage, ...]) -> None:
        """The manifest is there, with all its pages."""
        told = pages[0].transaction_time
        totals = dict.fromkeys(_ITEMS, 0)
        self._event("status_complete", {"transactionTime": told})
        for page in pages:
            counts = {kind: sum(1 for file in page.files if file.kind == kind) for kind in _ITEMS}
            for kind, count in counts.items():
                totals[kind] += count
            said = {f"{kind}FileCount": count for kind, count in counts.items()}
            self._event("status_page_complete", {"transactionTime": page.transaction_time, **said})
        said = {f"total{kind.capitalize()}FileCount": count for kind, count in totals.items()}
        self._event("manifest_complete", {"transactionTime": told, **said, "totalManifests": len(pages)})

    def requested(self, file: ExportFile) -> None:
        """A file is asked for."""
        detail = {"fileUrl": _shown(file.address), "itemType": file.kind, "resourceType": file.type or None}
        self._event("download_request", detail)

    def received(self, file: ExportFile, lines: int, size: int) -> None:
        """A file is there, whole: its lines, and its bytes unpacked."""
        self._event("download_complete", {"fileUrl": _shown(file.address), "resourceCount": lines, "fileSize": size})

    def lost(self, file: ExportFile, code: str) -> None:
        """A file could not be had."""
        detail = {"body": None, "code": None, "message": code, "responseHeaders": None}
        self._event("download_error", {"fileUrl": _shown(file.address), **detail})

    def exported(self, files: int, resources: int, size: int, milliseconds: int) -> None:
        """Everything that could be had is there."""
        counts = {"files": files, "resources": resources, "bytes": size, "attachments": 0, "duration": milliseconds}
        self._event("export_complete", counts)

    def _event(self, event: str, detail: Mapping[str, Any], more: Mapping[str, str] | None = None) -> None:
        line = {
            "exportId": self._job_id,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "eventId": event,
            "eventDetail": detail,
            **(more or {}),
        }
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, orjson.dumps(line) + b"\n")
        finally:
            os.close(descriptor)


def _shown(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}/{sha256(address.encode()).hexdigest()[:16]}"
