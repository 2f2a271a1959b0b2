"""Rebuilding the tables from the vault, measured: all of it, a hundredth of the people, and the audit behind it.

    python -m benchmarks.tables [--resources 1000000] [--data DIR]

The vault is stocked with the published people of DIR (the shared data beside the project, where nothing else is said),
again and again under new keys until it holds so many resources. Rates are of everything that the vault holds, also of
what no table is made of. Everything runs on one machine in one run, so the figures to read are the ratios. Writes
benchmarks/results/tables.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import re
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "tables.json"
DATA = ROOT.parent / "shared" / "data"
FOLDERS = ("synthea-r4", "synthea-us-core")
STOCKING = "2GB"
SHARE = 0.01
_PATIENT = re.compile(rb'"resourceType"\s*:\s*"Patient"')


def stock(wanted: int, data: Path) -> dict[str, Any]:
    """A home whose vault holds that many resources, or a few more: whole people."""
    import duckdb
    import pyarrow as pa
    from sqlalchemy import insert

    from charthouse.lake.session import open_vault
    from charthouse.linking import providers
    from charthouse.operating.home import prepare
    from charthouse.state import session
    from charthouse.state.base import new_key
    from charthouse.state.models import Link, Person
    from charthouse.sync import footing
    from transforms.bundles import read_page, resource_stub

    prepare()
    with session() as state:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="http://127.0.0.1:9/fhir")
    bundles = [
        body
        for folder in FOLDERS
        for file in sorted((data / folder).glob("*.gz"))
        if _PATIENT.search(body := gzip.decompress(file.read_bytes()))
    ]
    held = people = 0
    with open_vault() as vault:
        vault.execute(f"SET memory_limit = '{STOCKING}'")
        while held < wanted:
            for body in bundles:
                person, link = new_key(), new_key()
                rows = [
                    (*resource_stub(entry.raw), sha256(entry.raw).hexdigest(), entry.raw)
                    for entry in read_page(body).entries
                ]
                with session() as state:
                    state.execute(insert(Person), [{"person_key": person, "country": "US"}])
                    named = {"id": link, "person_key": person, "provider": "clinic", "route": "direct"}
                    state.execute(insert(Link), [{**named, "status": "confirmed", "patient_id": f"p-{link}"}])
                columns = zip(*rows, strict=True)
                batch = pa.table([pa.array(column) for column in columns], ["type", "id", "updated", "hash", "raw"])
                vault.register("batch", batch)
                vault.execute(
                    "INSERT INTO vault.resources SELECT 1, 'run', now(), ?, ?, type, id, hash, updated::VARCHAR, [],"
                    " decode(raw) FROM batch",
                    [person, link],
                )
                vault.unregister("batch")
                held, people = held + len(rows), people + 1
                if held >= wanted:
                    break
        footing.adopt(vault)
    return {"resources": held, "people": people, "duckdb": duckdb.__version__}


def scan() -> dict[str, Any]:
    """Seconds to read every text of the vault once, and to read it as JSON, the best of two."""
    from charthouse.lake.session import open_vault

    with open_vault(read_only=True) as vault:

        def seconds(expression: str) -> float:
            started = time.perf_counter()
            vault.execute(f"SELECT {expression} FROM vault.resources").fetchall()
            return time.perf_counter() - started

        read = [seconds("sum(strlen(resource))") for _ in range(2)]
        return {"scan": min(read), "parse": min(seconds("count_if(json_valid(resource))") for _ in range(2))}


def build(share: float | None = None) -> dict[str, Any]:
    """Seconds to plan and build: of all who are due, or of that share of the people, who are made due."""
    from charthouse.lake.session import RECORDS, open_records, writing
    from charthouse.state import session
    from charthouse.sync import build as stage
    from charthouse.sync import runs
    from charthouse.sync.audit import audit_run
    from charthouse.sync.finish import finish_run
    from charthouse.sync.publish import publish_run

    name = f"benchmark-{time.monotonic_ns()}"
    with session() as state:
        run = runs.open_or_resume_run(state, "rebuild", name).id
        runs.plan_links(state, run, [])
    if share is not None:
        with writing(RECORDS), open_records() as records:
            records.execute(
                "DELETE FROM records.built_people WHERE person_key IN (SELECT person_key FROM records.built_people"
                " ORDER BY person_key LIMIT (SELECT ceil(count(*) * ?)::BIGINT FROM records.built_people))",
                [share],
            )
    marks: list[tuple[str, float, float]] = []

    def timed(stage_name: str, work: Callable[[], Any]) -> Any:
        started, spent = time.perf_counter(), _processor_seconds()
        done = work()
        marks.append((stage_name, time.perf_counter() - started, _processor_seconds() - spent))
        return done

    groups = timed("plan", lambda: stage.plan_build(name))
    timed("build", lambda: [stage.build_group(group) for group in groups])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    timed("audit", lambda: audit_run(name))
    timed("publish", lambda: publish_run(name))
    finish_run(name)
    return {
        "groups": len(groups),
        "seconds": {stage_name: round(wall, 2) for stage_name, wall, _ in marks},
        "processor_seconds": {stage_name: round(spent, 2) for stage_name, _, spent in marks},
        "peak_memory_mib": peak,
    }


def _processor_seconds() -> float:
    """Of this process and of those that it started and waited for: the audit is one."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def apart(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run it in a process of its own, so that its peak of memory is its own.

    Raises:
        BrokenProcessPool: when that process is killed.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    if not any((given.data / folder).is_dir() for folder in FOLDERS):
        parser.error(f"there are no people in {given.data}")
    with tempfile.TemporaryDirectory(prefix="charthouse-bench-") as folder:
        os.environ["CHARTHOUSE_HOME"] = str(Path(folder) / "home")
        result = apart(stock, given.resources, given.data)
        bare = apart(scan)
        whole = apart(build)
        part = apart(build, SHARE)
    of_all, of_part = (each["seconds"]["plan"] + each["seconds"]["build"] for each in (whole, part))
    result |= {
        "scan_seconds": {name: round(seconds, 2) for name, seconds in bare.items()},
        "all": whole,
        "one_percent": part,
        "resources_per_second": round(result["resources"] / of_all),
        "ratios": {
            "build_to_scan": round(of_all / bare["scan"], 1),
            "build_to_parse": round(of_all / bare["parse"], 1),
            "one_percent_to_all": round(of_part / of_all, 4),
            "audit_to_build": round(whole["seconds"]["audit"] / of_all, 3),
        },
    }
    print(json.dumps(result, indent=1))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
