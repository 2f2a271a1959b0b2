"""An export, measured: `charthouse export` of one person's resources against a bare read of the same resources.

    python -m benchmarks.privacy_export [--resources 10000]

The bare read opens the vault, takes the person's texts out and hashes them, in a process of its own. The figures to
read are the ratio and the peak of memory; the seconds are this machine's.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_UCUM = "http://unitsofmeasure.org"
_BARE = """
import hashlib, sys
from charthouse.lake.session import open_vault
with open_vault(read_only=True) as connection:
    digest, n = hashlib.sha256(), 0
    rows = connection.execute("SELECT resource FROM vault.current_resources WHERE person_key = $p", {"p": sys.argv[1]})
    while some := rows.fetchmany(256):
        for (text,) in some:
            digest.update(text.encode()); n += 1
print(n, digest.hexdigest())
"""


def resources(count: int) -> Iterator[str]:
    """What a person of many years has: mostly results and vital signs, a note of some kilobytes to every fifty."""
    yield json.dumps({"resourceType": "Patient", "id": "p1", "name": [{"family": "Doe"}], "birthDate": "1950-01-01"})
    note = base64.b64encode(b"A note of a visit. " * 300).decode()
    for number in range(count - 1):
        day = f"20{number % 25:02d}-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
        meta = {"lastUpdated": f"{day}T10:00:00Z"}
        subject = {"reference": "Patient/p1"}
        said = {"id": f"r{number}", "meta": meta, "subject": subject}
        if number % 50 == 7:
            attachment = {"contentType": "text/plain", "title": "Progress note", "data": note}
            said |= {"resourceType": "DocumentReference", "status": "current", "date": f"{day}T10:00:00Z"}
            said |= {"content": [{"attachment": attachment}]}
        else:
            category = "vital-signs" if number % 3 == 0 else "laboratory"
            code = {
                "system": "http://loinc.org",
                "code": f"{number % 40}-{number % 9}",
                "display": f"Test {number % 40}",
            }
            said |= {"resourceType": "Observation", "status": "final", "effectiveDateTime": f"{day}T09:30:00Z"}
            said |= {"category": [{"coding": [{"system": _CATEGORY, "code": category}]}], "code": {"coding": [code]}}
            said |= {"performer": [{"reference": "Practitioner/x", "display": "Dr. X"}]}
            said |= {"valueQuantity": {"value": number % 200, "unit": "mg/dL", "system": _UCUM, "code": "mg/dL"}}
            said |= {"referenceRange": [{"low": {"value": 20}, "high": {"value": 120}}]}
        yield json.dumps(said)


def _stock(count: int) -> str:
    from charthouse.operating.home import prepare
    from tests.privacy import stocked

    prepare()
    person, link = stocked.new_person()
    with tempfile.TemporaryDirectory() as folder:
        stocked.store(Path(folder), person, link, resources(count))
        stocked.publish(Path(folder), person)
    return person


def _timed(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """(seconds, MB at the peak) of a process."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    return time.monotonic() - began, used.ru_maxrss / 1024


def main() -> None:
    """Stock a home, read it, export from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=10_000)
    count = parser.parse_args().resources
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"CHARTHOUSE_HOME": f"{folder}/home"}
        os.environ["CHARTHOUSE_HOME"] = f"{folder}/home"
        stock = f"from benchmarks.privacy_export import _stock; print(_stock({count}))"
        made = subprocess.run(
            [sys.executable, "-c", stock], cwd=ROOT, env=env, check=True, capture_output=True, text=True
        )
        person = made.stdout.split()[-1]
        bare = min(_timed([sys.executable, "-c", _BARE, person], env) for _ in range(3))
        whole = [sys.executable, "-m", "charthouse", "export", person, "--out", f"{folder}/out"]
        seconds, peak = _timed(whole, env)
        size = sum(file.stat().st_size for file in Path(folder, "out").glob("*.zip"))
    print(f"{count:,} resources: {seconds:.1f} s, peak {peak:.0f} MB, ZIP {size / 1e6:.1f} MB")
    print(f"a bare read of them: {bare[0]:.1f} s, peak {bare[1]:.0f} MB; ratio {seconds / bare[0]:.1f}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
