"""A FHIR server that has every page ready: as fast as one process of Python can hand bytes over, or as slow as told.

    python -m benchmarks.static_fhir --people 25 --seconds-per-page 0.2

It holds made-up people whose records have the sizes and references of a record as Synthea writes it (about a kilobyte a
resource), answers searches by `patient` with `_count`, `_lastUpdated` and `next` links, and packs with gzip who asks
for it. Its export, of the whole system or of all patients, is ready as soon as it is asked for: a file for each type
and `PEOPLE_A_FILE` people. `--makers` pages are made at once; `--seconds-per-page` each 1,000 resources take,
`--seconds-per-request` each search beside that: a server with a database.
Prints its address as a line of JSON, then serves until its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import uuid
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

STAMP = "2024-05-01T10:00:00.000+00:00"
LATEST = "2024-06-01T10:00:00.000+00:00"
"""When the last resource of each type was changed: what a night with nothing new is shown again."""
TYPES = {
    "AllergyIntolerance": 6,
    "Claim": 180,
    "Condition": 60,
    "DiagnosticReport": 170,
    "DocumentReference": 80,
    "Encounter": 80,
    "ExplanationOfBenefit": 80,
    "Immunization": 24,
    "MedicationRequest": 100,
    "Observation": 1540,
    "Procedure": 160,
}
"""Resources of each type that a person has: 2,480 with the Patient, 62,000 for 25 people."""
OF_A_PATIENT = frozenset({"AllergyIntolerance", "Claim", "ExplanationOfBenefit", "Immunization"})
"""Types whose subject is called `patient`."""
PRACTITIONERS = 40
PEOPLE_A_FILE = 10
JOB = "export-job"


def name(kind: str, person: int, number: int) -> str:
    """An id as Synthea makes them: random, and therefore most of what a packed page holds."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{person}/{number}"))


def resource(kind: str, person: int, number: int) -> dict[str, Any]:
    """One resource of a person."""
    patient = {"reference": f"Patient/p{person}"}
    practitioner = {"reference": f"Practitioner/d{(person + number) % PRACTITIONERS}"}
    made: dict[str, Any] = {
        "resourceType": kind,
        "id": name(kind, person, number),
        "meta": {
            "versionId": "1",
            "lastUpdated": LATEST if number + 1 == TYPES[kind] else STAMP,
            "source": f"#{name('source', person, number)[:16]}",
            "profile": [f"http://hl7.org/fhir/us/core/StructureDefinition/us-core-{kind.lower()}"],
        },
        "patient" if kind in OF_A_PATIENT else "subject": patient,
        "encounter": {"reference": f"Encounter/{name('Encounter', person, number % TYPES['Encounter'])}"},
        "performer": [practitioner],
        "code": {
            "coding": [
                {
                    "system": "http://loinc.org",
                    "code": f"{8302 + number % 900}-2",
                    "display": "Body height, measured standing, without shoes",
                }
            ],
            "text": "Body height, measured standing, without shoes",
        },
        "identifier": [{"system": "https://example.org/identifiers", "value": name("identifier", person, number)}],
        "note": [{"text": f"Entered at the desk, visit {number}; nothing else was said about it at the time."}],
        "valueQuantity": {
            "value": 120 + number % 71,
            "unit": "cm",
            "system": "http://unitsofmeasure.org",
            "code": "cm",
        },
        "effectiveDateTime": f"20{number % 24:02d}-0{1 + number % 9}-1{number % 10}T08:30:00-05:00",
    }
    return made


@cache
def entries(kind: str, person: int, base: str) -> list[bytes]:
    """The entries of one person's resources of a type."""
    made = [resource(kind, person, number) for number in range(TYPES[kind])]
    return [
        json.dumps({"fullUrl": f"{base}/{kind}/{one['id']}", "resource": one, "search": {"mode": "match"}}).encode()
        for one in made
    ]


@cache
def lines(kind: str, person: int) -> bytes:
    """One person's resources of a type as lines of NDJSON."""
    if kind == "Patient":
        return json.dumps({"resourceType": "Patient", "id": f"p{person}"}).encode() + b"\n"
    return b"".join(json.dumps(resource(kind, person, number)).encode() + b"\n" for number in range(TYPES[kind]))


class Server:
    """The answers, each made once."""

    def __init__(self, people: int, seconds_per_page: float, seconds_per_request: float, makers: int) -> None:
        self.base = ""
        self.people = people
        self.seconds = seconds_per_page
        self.least = seconds_per_request
        self.makers = asyncio.Semaphore(makers)
        self.ready: dict[tuple[str, bool], tuple[bytes, int]] = {}
        self.asked: dict[str, int] = {}

    def page(self, kind: str, query: dict[str, list[str]]) -> tuple[bytes, int]:
        """A page of a search, and how many resources it holds."""
        if "_id" in query:
            found = [{"resource": {"resourceType": kind, "id": name}} for name in query["_id"][0].split(",")]
            return json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": found}).encode(), len(found)
        if kind == "Patient" and "patient" not in query:
            found = [{"resource": {"resourceType": kind, "id": f"p{person}"}} for person in range(self.people)]
            said = {"resourceType": "Bundle", "type": "searchset", "link": [], "entry": found}
            return json.dumps(said).encode(), len(found)
        person = int(query["patient"][0].removeprefix("p"))
        since = query.get("_lastUpdated", [""])[0]
        known = entries(kind, person, self.base)
        if since > f"ge{STAMP}":
            known = known[-1:] if since <= f"ge{LATEST}" else []
        start, count = int(query.get("start", ["0"])[0]), int(query.get("_count", ["20"])[0])
        chosen = known[start : start + count]
        more = f"{self.base}/{kind}?patient=p{person}&_count={count}&start={start + count}"
        links = [{"relation": "next", "url": more}] if start + count < len(known) else []
        head = json.dumps({"resourceType": "Bundle", "type": "searchset", "total": len(known), "link": links})
        return head[:-1].encode() + b', "entry": [' + b", ".join(chosen) + b"]}", len(chosen)

    def body(self, target: str, packed: bool) -> tuple[bytes, int]:
        """What an address answers, and how many resources are in it."""
        known = self.ready.get((target, packed))
        if known is not None:
            return known
        parts = urlsplit(target)
        words = parts.path.strip("/").split("/")[1:]
        if words == ["metadata"]:
            body, number = json.dumps(self.metadata()).encode(), 0
        elif words == [JOB]:
            body, number = json.dumps(self.manifest(parse_qs(parts.query))).encode(), 0
        elif words[0] == "files":
            start = int(words[2])
            people = range(start, min(start + PEOPLE_A_FILE, self.people))
            body, number = b"".join(lines(words[1], person) for person in people), 0
        elif len(words) == 2:
            body, number = json.dumps({"resourceType": words[0], "id": words[1]}).encode(), 1
        else:
            body, number = self.page(words[0], parse_qs(parts.query))
        made = (gzip.compress(body, 6) if packed else body, number)
        self.ready[target, packed] = made
        return made

    def manifest(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """What an export made."""
        kinds = query["_type"][0].split(",") if "_type" in query else ["Patient", *TYPES]
        files = [
            {"type": kind, "url": f"{self.base}/files/{kind}/{start}"}
            for kind in kinds
            if kind in TYPES or kind == "Patient"
            for start in range(0, self.people, PEOPLE_A_FILE)
        ]
        said = {"transactionTime": LATEST, "request": f"{self.base}/$export", "requiresAccessToken": False}
        return said | {"output": files, "error": []}

    @staticmethod
    def metadata() -> dict[str, Any]:
        """The CapabilityStatement."""
        params = [{"name": name, "type": "token"} for name in ("patient", "_id", "_lastUpdated")]
        does = [{"code": "read"}, {"code": "search-type"}]
        kinds = ["Patient", "Practitioner", *TYPES]
        offered = [{"type": kind, "interaction": does, "searchParam": params} for kind in kinds]
        canonical = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition"
        exports = [{"name": name, "definition": f"{canonical}/{name}"} for name in ("export", "patient-export")]
        rest = [{"mode": "server", "resource": offered, "operation": exports}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                verb, target = head.split(b" ", 2)[0], head.split(b" ", 2)[1].decode()
                packed = b"gzip" in head.lower()
                if verb == b"DELETE" or "/$export" in target:
                    typed = f"?{target.partition('?')[2]}".encode()
                    where = (
                        b""
                        if verb == b"DELETE"
                        else b"Content-Location: %s/%s%s\r\n" % (self.base.encode(), JOB.encode(), typed)
                    )
                    writer.write(b"HTTP/1.1 202 Accepted\r\n" + where + b"Content-Length: 0\r\n\r\n")
                    continue
                if target == "/counts":
                    body, number, packed = json.dumps(self.asked).encode(), 0, False
                    self.asked = {}
                else:
                    self.asked[urlsplit(target).path] = self.asked.get(urlsplit(target).path, 0) + 1
                    body, number = self.body(target, packed)
                taken = self.least + self.seconds * number / 1000
                if taken:
                    async with self.makers:
                        await asyncio.sleep(taken)
                coded = b"Content-Encoding: gzip\r\n" if packed else b""
                form = b"ndjson" if "/files/" in target else b"json"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+%s\r\n" % form + coded)
                writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()


async def main(options: argparse.Namespace) -> None:
    """Serve until the input ends."""
    server = Server(options.people, options.seconds_per_page, options.seconds_per_request, options.makers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20)
    server.base = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/fhir"
    for person in range(options.people):
        for kind, number in TYPES.items():
            for start in range(0, number, options.count):
                more = f"&start={start}" if start else ""
                server.body(f"/fhir/{kind}?patient=p{person}&_count={options.count}{more}", packed=True)
    for kind in ("Patient", *TYPES):
        for start in range(0, options.people, PEOPLE_A_FILE):
            server.body(f"/fhir/files/{kind}/{start}", packed=True)
    print(json.dumps({"base": server.base}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--people", type=int, default=25)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds-per-page", type=float, default=0.0)
    parser.add_argument("--seconds-per-request", type=float, default=0.0)
    parser.add_argument("--makers", type=int, default=2)
    asyncio.run(main(parser.parse_args()))
