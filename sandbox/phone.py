"""The app on a made-up phone: reads Health Connect and uploads what it read, in chunks that it goes on with.

A client of the REST API for those who write another: each step is a call of its own (docs/phone.md shows the same in
Kotlin). The upload is that of draft-ietf-httpbis-resumable-upload, digests are those of RFC 9530.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
import time
import uuid
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests

from sandbox.phone_store import PERMISSION, TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from sandbox.phone_store import HealthConnect

CHUNK: Final = 5_000_000
"""Health Connect's own chunk."""
SECONDS: Final = 60.0
_PARTIAL: Final = "application/partial-upload"


class RefusedError(Exception):
    """An answer that is a problem: its status, its code, and the headers that say how to go on."""

    def __init__(self, answer: requests.Response) -> None:
        self.status = answer.status_code
        self.headers = answer.headers
        try:
            self.code = str(answer.json()["code"])
        except (ValueError, KeyError, TypeError):
            self.code = ""
        super().__init__(f"{self.status} {self.code}")


class CutError(Exception):
    """The line was cut in the middle of a chunk."""


@dataclass(slots=True)
class Reading:
    """What was read of a data source: a file of lines, which medical types, and the id that the app gave it."""

    id: str
    mode: str
    types: tuple[str, ...]
    file: IO[bytes]
    length: int
    sha256: str


class App:
    """The app of one person on one phone. `token` gives a service token that acts for the person."""

    def __init__(
        self, url: str, person: str, token: Callable[[], str], store: HealthConnect, *, device: str | None = None
    ) -> None:
        self.url, self.person, self.store = url.rstrip("/"), person, store
        self.device = device or str(uuid.uuid4())
        self._token = token
        self._http = requests.Session()
        self._http.trust_env = False

    def say_state(self, *, reconnect: Iterable[str] = (), **more: Any) -> dict[str, Any]:
        """Say which permissions and data sources the phone has. Returns the phone, with a link for each source."""
        said = {
            "permissions": self.store.granted_permissions(),
            "data_sources": [
                {
                    "id": source.id,
                    "package_name": source.package_name,
                    "fhir_base_uri": source.fhir_base_uri,
                    "display_name": source.display_name,
                    "fhir_version": source.fhir_version,
                }
                for source in self.store.medical_data_sources()
            ],
            "reconnect": list(reconnect),
            **more,
        }
        return dict(self._ask("PUT", f"/people/{self.person}/phones/{self.device}", json=said).json())

    def read(self, source_id: str, types: Collection[str] | None = None, *, page: int = 1000) -> Reading:
        """Read everything of a data source that may be read, page by page, into a file."""
        chosen = tuple(
            name for name in TYPES if PERMISSION + name in self.store.permissions and (types is None or name in types)
        )
        lines = (
            {"type": one.type, "data": one.data}
            for name in chosen
            for one in self.store.read_all(name, [source_id], size=page)
        )
        return written(lines, "full", chosen)

    def begin(self, link_id: str, reading: Reading, **more: Any) -> str:
        """Make the upload of a reading, or find the one that was made. Returns its address."""
        said = {
            "reading": reading.id,
            "mode": reading.mode,
            "types": list(reading.types),
            "length": reading.length,
            "sha256": reading.sha256,
            **more,
        }
        answer = self._ask("POST", f"/links/{link_id}/uploads", json=said)
        return str(answer.json()["upload_id"])

    def offset(self, link_id: str, upload_id: str) -> tuple[int, bool]:
        """How many bytes the server has, and whether it has all."""
        answer = self._ask("HEAD", f"/links/{link_id}/uploads/{upload_id}")
        return int(answer.headers["Upload-Offset"]), answer.headers["Upload-Complete"] == "?1"

    def send(
        self, link_id: str, upload_id: str, reading: Reading, *, chunk: int = CHUNK, cut_at: int | None = None
    ) -> None:
        """Send what the server does not have yet, chunk by chunk. `cut_at`: the line is cut at that byte.

        Raises:
            CutError: it was cut; sent again, it goes on.
            RefusedError: the server wants no more, or not now.
        """
        at, complete = self.offset(link_id, upload_id)
        while not complete:
            reading.file.seek(at)
            body = reading.file.read(chunk)
            last = at + len(body) >= reading.length
            headers = {
                "Content-Type": _PARTIAL,
                "Upload-Offset": str(at),
                "Upload-Complete": "?1" if last else "?0",
                "Content-Digest": digest(body),
            }
            path = f"/links/{link_id}/uploads/{upload_id}"
            if cut_at is not None and at <= cut_at < at + len(body):
                self._cut(path, headers, body, cut_at - at)
                raise CutError
            self._ask("PATCH", path, data=body, headers=headers)
            at, complete = at + len(body), last

    def verdict(self, link_id: str, upload_id: str, *, seconds: float = SECONDS) -> dict[str, Any]:
        """What the server found in an upload, once it has looked."""
        until = time.monotonic() + seconds
        while True:
            said = dict(self._ask("GET", f"/links/{link_id}/uploads/{upload_id}").json())
            if said["status"] != "received" or time.monotonic() > until:
                return said
            time.sleep(0.1)

    def upload(self, link_id: str, reading: Reading, *, chunk: int = CHUNK, **more: Any) -> dict[str, Any]:
        """Upload a reading, and wait for what was found in it. Waits where the server says that it is too much."""
        upload_id = self.begin(link_id, reading, **more)
        while True:
            try:
                self.send(link_id, upload_id, reading, chunk=chunk)
                return self.verdict(link_id, upload_id)
            except RefusedError as error:
                if error.status != requests.codes.too_many_requests:
                    raise
                time.sleep(float(error.headers["Retry-After"]))

    def sync(self) -> list[dict[str, Any]]:
        """All of it: state, then a full reading of each data source that has a link. Returns what was found in each."""
        phone = self.say_state()
        return [
            self.upload(source["link_id"], self.read(source["id"]))
            for source in phone["data_sources"]
            if source["present"] and source["status"] in ("pending", "confirmed")
        ]

    def disconnect(self) -> dict[str, Any]:
        """Disconnect this phone."""
        return dict(self._ask("DELETE", f"/people/{self.person}/phones/{self.device}").json())

    def _ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **said: Any) -> Any:
        told = {"Authorization": f"Bearer {self._token()}", **(headers or {})}
        answer = self._http.request(method, self.url + path, headers=told, timeout=SECONDS, **said)
        if answer.status_code >= requests.codes.bad_request:
            raise RefusedError(answer)
        return answer

    def _cut(self, path: str, headers: Mapping[str, str], body: bytes, at: int) -> None:
        """Send the beginning of a chunk, and let the line go."""
        import socket

        place = urlsplit(self.url)
        told = {"Host": place.netloc, "Authorization": f"Bearer {self._token()}", **headers}
        head = f"PATCH {place.path}{path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in told.items())
        head += f"Content-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((place.hostname or "", place.port or 80), timeout=SECONDS) as line:
            line.sendall(head.encode() + body[:at])
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):  # until the server has noticed
                pass


def written(lines: Iterable[Mapping[str, Any]], mode: str, types: Collection[str]) -> Reading:
    """A reading of these lines, in a file of its own."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as its reading
    seen, length = hashlib.sha256(), 0
    for said in lines:
        raw = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
        seen.update(raw)
        length += file.write(raw)
    return Reading(str(uuid.uuid4()), mode, tuple(types), file, length, seen.hexdigest())


def digest(body: bytes) -> str:
    """Content-Digest of a chunk."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
