"""The crawl, or the export, of a real FHIR server, measured beside bare requests and beside `smart-fetch`.

    python -m benchmarks.real_server --base http://localhost:8080/fhir [--bulk] [--smart-fetch PATH] [--rounds 3]
        [--types Patient,Observation,…]

Any open R4 server does, such as a HAPI FHIR server with the people of `shared/data` loaded; none is started here. All
its patients are pulled by each contender in a process of its own, in turn, `--rounds` times:

- `bare`: the same searches with the same `_count`, their `next` links followed, bodies gone, `--threads` at once;
- `ours`: `fetch_batch`, which also checks and lands the pages, and follows references;
- `smart-fetch`, where its command is given: a crawl of the same people and, with `--types`, of the same types. It asks
  later than a server such as HAPI FHIR keeps the answers of others, who asked not to be given kept ones.

With `--bulk` they export instead: `bare` asks once a second for the files of all patients and downloads them one by
one, `ours` is `collect_batch` of a night, `smart-fetch` exports the whole system. The server's own time until the files
are there says nothing about a client, so the rate is that of the downloads, by the log that each writes.

`bare` and `ours` ask with `Cache-Control: no-cache`, so that no stored answer is measured.
The figures to read are the ratios of the best rounds; CPU is the client's. Writes benchmarks/results/real_server.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from benchmarks.fetch import ROOT, ours, spent

RESULTS = ROOT / "benchmarks" / "results" / "real_server.json"
NEXT = re.compile(rb'"relation"\s*:\s*"next"\s*,\s*"url"\s*:\s*"([^"]+)"')
KEPT = 61
"""Seconds for which HAPI FHIR answers a search from what it found for an earlier one."""
HEAD = 4096
"""Bytes of a page in which a server names the next one."""


def patients_of(base: str) -> list[str]:
    """The ids of all patients."""
    url, found = f"{base}/Patient?_count=1000&_elements=id", []
    while url:
        page = requests.get(url, timeout=60).json()
        found += [entry["resource"]["id"] for entry in page.get("entry", ())]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return found


def scopes_of(types: str | None) -> str | None:
    """What a person would have granted to be asked for these types alone."""
    return " ".join(f"patient/{kind}.read" for kind in types.split(",")) if types else None


def searches(base: str, patients: list[str], scopes: str | None) -> list[str]:
    """What the plan asks for these people, as addresses."""
    from charthouse.partners.capability import parse_capability
    from charthouse.partners.knowledge import NOTHING_LEARNT, Knowledge
    from charthouse.partners.scopes import parse_scopes
    from charthouse.partners.search import plan_link
    from charthouse.partners.vendors import vendor_of
    from charthouse.settings import Settings

    settings = Settings()
    offer = parse_capability(requests.get(f"{base}/metadata", timeout=60).content)
    known = Knowledge(vendor_of(base, offer), NOTHING_LEARNT)
    return [
        query.url(base)
        for patient in patients
        for kind in plan_link(
            offer, patient, parse_scopes(scopes or ""), {}, settings.page_size, known, settings.overlap_seconds
        ).types
        for query in ([kind.whole] if kind.whole is not None else kind.parts)
    ]


def bare(asked: dict[str, Any]) -> dict[str, Any]:
    """Ask every search, follow its pages, throw the bodies away."""
    own = threading.local()
    urls = searches(asked["base"], asked["patients"], asked["scopes"])

    def get(url: str | None) -> tuple[int, int]:
        if not hasattr(own, "session"):
            own.session = requests.Session()
            own.session.trust_env = False
        pages, size = 0, 0
        while url:
            body = own.session.get(url, timeout=600, headers={"Cache-Control": "no-cache"}).content
            more = NEXT.search(body, 0, HEAD)
            url = more[1].decode().replace("\\/", "/") if more else None
            pages, size = pages + 1, size + len(body)
        return pages, size

    with ThreadPoolExecutor(asked["threads"]) as pool:
        began, used = time.perf_counter(), spent()
        got = list(pool.map(get, urls))
        took = {"seconds": time.perf_counter() - began, "cpu": spent() - used}
    return took | {"requests": sum(pages for pages, _ in got), "bytes": sum(size for _, size in got)}


def bare_bulk(asked: dict[str, Any]) -> dict[str, Any]:
    """Export all patients and throw the files away."""
    http = requests.Session()
    http.trust_env = False
    began, used = time.perf_counter(), spent()
    headers = {"Accept": "application/fhir+json", "Prefer": "respond-async", "Cache-Control": "no-cache"}
    kicked = http.get(f"{asked['base']}/Patient/$export", headers=headers, timeout=60)
    kicked.raise_for_status()
    status = kicked.headers["Content-Location"]
    while (said := http.get(status, timeout=60)).status_code == 202:
        time.sleep(1)
    ready = time.perf_counter() - began
    files = [file["url"] for file in said.json()["output"]]
    raw = {"Accept": "application/fhir+ndjson"}
    size = sum(len(http.get(url, timeout=600, headers=raw).content) for url in files)
    whole = time.perf_counter() - began
    took = {"seconds": whole - ready, "cpu": spent() - used, "whole": whole}
    return took | {"requests": len(files), "bytes": size}


def downloading(folder: Path) -> dict[str, float]:
    """Seconds from the last word of the server to the last file, and the resources, by the logs in a folder."""
    events = [json.loads(line) for log in folder.rglob("log.ndjson") for line in log.read_text().splitlines()]
    at = {
        kind: [datetime.fromisoformat(event["timestamp"]) for event in events if event["eventId"] == kind]
        for kind in ("status_complete", "download_complete")
    }
    seconds = (max(at["download_complete"]) - max(at["status_complete"])).total_seconds()
    lines = [event["eventDetail"]["resourceCount"] for event in events if event["eventId"] == "download_complete"]
    return {"seconds": seconds, "requests": len(lines), "resources": sum(lines)}


def our_bulk(asked: dict[str, Any]) -> dict[str, Any]:
    """Collect a night of all patients by export, in a home of its own."""
    from charthouse.linking import own_server, providers
    from charthouse.linking.bulk_sources import PATIENTS, set_bulk_source
    from charthouse.operating import home
    from charthouse.state import session
    from charthouse.sync.collect import collect_batch
    from charthouse.sync.plan import plan_run

    home.prepare()
    with session() as state:
        providers.register_provider(state, slug="one", name="One", fhir_base_url=asked["base"], actor="operator")
        set_bulk_source(state, "one", level=PATIENTS)
    own_server.link_patients("one", asked["patients"], None)
    batches = plan_run([], airflow_run_id="bench")
    began, used = time.perf_counter(), spent()
    for batch in batches:
        collect_batch(batch)
    whole = {"whole": time.perf_counter() - began, "cpu": spent() - used}
    return whole | downloading(Path(os.environ["CHARTHOUSE_HOME"]))


def alone(contender: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Run a contender in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"PRIVATE_ADDRESSES": "any", "LOG_LEVEL": "error", "HOME": folder}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.real_server", "--contender", contender, "--base", asked["base"]],
            cwd=ROOT,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {f"CHARTHOUSE_{name}": value for name, value in settings.items()},
        )
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def smart_fetch(command: str, asked: dict[str, Any], types: str | None, *, bulk: bool) -> dict[str, Any]:
    """What `smart-fetch` takes, of the types named or of all that it knows."""
    folder = Path(tempfile.mkdtemp())
    who = ["bulk"] if bulk else ["crawl", "--id-list", ",".join(asked["patients"])]
    time.sleep(KEPT)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [command, *who, *(["--type", types] if types else []), "--fhir-url", asked["base"], str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took = {"seconds": seconds, "cpu": cpu, "bytes": size, "whole": seconds}
    if bulk:
        took |= downloading(folder)
    shutil.rmtree(folder)
    return took


def best(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The round that took least time."""
    return min(rounds, key=lambda one: float(one["seconds"]))


def told(name: str, took: dict[str, Any], bare_took: dict[str, Any]) -> None:
    """One line."""
    rate, cpu = bare_took["seconds"] / took["seconds"], took["cpu"] / bare_took["cpu"]
    print(
        f"{name:24} {took['seconds']:7.2f} s  cpu {took['cpu']:6.2f} s  {took.get('requests', 0):6} requests  "
        f"rate {rate:.0%} of bare, cpu ×{cpu:.1f}",
        flush=True,
    )


def main() -> None:
    """Run the contenders in turn."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--base", required=True)
    parser.add_argument("--smart-fetch")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--people", type=int)
    parser.add_argument("--types")
    parser.add_argument("--bulk", action="store_true")
    parser.add_argument("--contender", choices=[*CONTENDERS])
    options = parser.parse_args()
    if options.contender:
        took = CONTENDERS[options.contender](json.load(sys.stdin))
        print(json.dumps(took | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    base = options.base.rstrip("/")
    patients = patients_of(base)[: options.people]
    asked = {
        "base": base,
        "patients": patients,
        "threads": options.threads,
        "scopes": scopes_of(options.types),
    }
    ways = ("bare-bulk", "ours-bulk") if options.bulk else ("bare", "ours")
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    if options.smart_fetch:
        runs["smart-fetch"] = []
    for _ in range(options.rounds):
        for way in ways:
            runs[way].append(alone(way, asked))
        if options.smart_fetch:
            runs["smart-fetch"].append(smart_fetch(options.smart_fetch, asked, options.types, bulk=options.bulk))
    found = {name: best(rounds) for name, rounds in runs.items()}
    for name, took in found.items():
        told(name, took, found[ways[0]])
    found["patients"] = {"number": len(patients)}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))


CONTENDERS = {"bare": bare, "ours": ours, "bare-bulk": bare_bulk, "ours-bulk": our_bulk}

if __name__ == "__main__":
    main()
