"""The crawl, measured beside the bare requests that it comes down to.

    python -m benchmarks.fetch [--people 25] [--threads 8]

Bare requests are what one `requests` session a thread does with a list of the same pages, over kept connections: each
body is unpacked and thrown away. Ours is `fetch_batch`: pages followed, read, checked for loops, landed, references
resolved, a marker a link. Each contender runs in a process of its own, and both ask the same server in the same run:
one that has its pages ready (`static`), and the same with the speed of a HAPI FHIR server as measured on two cores
(`paced`). The figures to read are the ratios; CPU is the client's.
Writes benchmarks/results/fetch.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from benchmarks.static_fhir import LATEST, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "fetch.json"
HAPI_SECONDS = 0.2
"""What a page of 1,000 resources takes on one of two cores: 62,000 came in 6.9 s, two pages at once."""
HAPI_SEARCH_SECONDS = 0.0025
"""What a search that finds nothing or one resource takes there: 1.9 to 3 ms, measured one after another."""
NIGHT_LINKS = 1000
PLAN_LINKS = 10_000


@contextmanager
def server(people: int, seconds: float, least: float = 0) -> Iterator[str]:
    """A static server in a process of its own; its base."""
    words = [
        sys.executable,
        "-m",
        "benchmarks.static_fhir",
        "--people",
        str(people),
        "--seconds-per-page",
        str(seconds),
        "--seconds-per-request",
        str(least),
    ]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["base"]
    finally:
        process.communicate()


def spent() -> float:
    """CPU seconds of this process so far."""
    used = os.times()
    return used.user + used.system


def bare(asked: dict[str, Any]) -> dict[str, Any]:
    """Get every address of a list, `threads` at once."""
    own = threading.local()

    def get(url: str) -> int:
        if not hasattr(own, "session"):
            own.session = requests.Session()
            own.session.trust_env = False
        return len(own.session.get(url, timeout=60).content)

    with ThreadPoolExecutor(asked["threads"]) as pool:
        began, used = time.perf_counter(), spent()
        size = sum(pool.map(get, asked["urls"]))
        return {"seconds": time.perf_counter() - began, "cpu": spent() - used, "bytes": size}


def ours(asked: dict[str, Any]) -> dict[str, Any]:
    """Fetch every link of a list."""
    from charthouse.settings import Settings
    from charthouse.sync.fetch import fetch_batch
    from charthouse.sync.link_job import LinkJob

    settings = Settings(requests_per_second=100_000, fetch_threads=asked["threads"])
    jobs = [
        LinkJob(f"link-{number}", asked["base"], patient, asked.get("scopes"), asked.get("watermarks", {}))
        for number, patient in enumerate(asked["patients"])
    ]
    with tempfile.TemporaryDirectory() as folder:
        began, used = time.perf_counter(), spent()
        done = fetch_batch(jobs, Path(folder), lambda *_: "token", settings)
        took = {"seconds": time.perf_counter() - began, "cpu": spent() - used}
    return took | {"resources": done.resources, "requests": done.requests, "bytes": done.bytes, "failed": done.failed}


def plan(asked: dict[str, Any]) -> dict[str, Any]:
    """Plan a night of many links, in a home of its own."""
    from charthouse.linking import providers
    from charthouse.operating import home
    from charthouse.state import session
    from charthouse.state.base import new_key, now
    from charthouse.state.models import Credential, Link, Person
    from charthouse.sync.plan import plan_run

    home.prepare()
    people = [Person(person_key=new_key(), country="US") for _ in range(asked["links"])]
    links = [
        Link(
            id=new_key(),
            person_key=person.person_key,
            provider="one",
            route="direct",
            status="confirmed",
            patient_id=f"p{number}",
        )
        for number, person in enumerate(people)
    ]
    with session() as state:
        base = "https://one.example/fhir"
        providers.register_provider(state, slug="one", name="One", fhir_base_url=base, actor="sync")
        tokens = [Credential(link_id=link.id, sealed_access=b"-", access_seen_at=now()) for link in links]
        for rows in (people, links, tokens):
            state.add_all(rows)
            state.flush()
    began, used = time.perf_counter(), spent()
    batches = plan_run([], airflow_run_id="bench")
    return {"seconds": time.perf_counter() - began, "cpu": spent() - used, "batches": len(batches)}


def alone(contender: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Run a contender in a process of its own; what it took, and the most memory that it held."""
    words = [sys.executable, "-m", "benchmarks.fetch", "--contender", contender]
    with tempfile.TemporaryDirectory() as folder:
        settings = {"PRIVATE_ADDRESSES": "any", "LOG_LEVEL": "error", "HOME": folder}
        environment = os.environ | {f"CHARTHOUSE_{name}": value for name, value in settings.items()}
        done = subprocess.run(
            words, cwd=ROOT, input=json.dumps(asked), capture_output=True, text=True, check=True, env=environment
        )
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def pages(base: str, patients: list[str], count: int) -> list[str]:
    """The addresses of all pages of these people, as a crawl finds them."""
    return [
        f"{base}/{kind}?patient={patient}&_count={count}" + (f"&start={start}" if start else "")
        for patient in patients
        for kind, number in TYPES.items()
        for start in range(0, number, count)
    ]


def beside(name: str, theirs: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
    """Both, and their ratios."""
    rate, cpu = theirs["seconds"] / mine["seconds"], mine["cpu"] / max(theirs["cpu"], 0.01)
    print(
        f"{name:22} bare {theirs['seconds']:6.2f} s, cpu {theirs['cpu']:5.2f}   ours {mine['seconds']:6.2f} s, "
        f"cpu {mine['cpu']:5.2f}, {mine['memory']:.0f} MB   rate {rate:.0%} of bare, cpu ×{cpu:.1f}",
        flush=True,
    )
    return {"bare": theirs, "ours": mine, "rate": round(rate, 3), "cpu": round(cpu, 2)}


def crawl(name: str, base: str, people: int, threads: int) -> dict[str, Any]:
    """A first pull of everybody."""
    patients = [f"p{number}" for number in range(people)]
    theirs = alone("bare", {"urls": pages(base, patients, 1000), "threads": threads})
    mine = alone("ours", {"base": base, "patients": patients, "threads": threads})
    return beside(name, theirs, mine)


def quiet_night(base: str, people: int, threads: int) -> dict[str, Any]:
    """Many links of which nobody has anything new."""
    patients = [f"p{number % people}" for number in range(NIGHT_LINKS)]
    urls = [f"{base}/Patient/{patient}" for patient in patients]
    asks = f"_count=1000&_lastUpdated=ge{quote(LATEST)}"
    urls += [f"{base}/{kind}?patient={patient}&{asks}" for patient in patients for kind in TYPES]
    theirs = alone("bare", {"urls": urls, "threads": threads})
    requests.get(base.removesuffix("/fhir") + "/counts", timeout=30)
    marks = dict.fromkeys(TYPES, LATEST)
    mine = alone("ours", {"base": base, "patients": patients, "threads": threads, "watermarks": marks})
    asked = requests.get(base.removesuffix("/fhir") + "/counts", timeout=30).json()
    most = max(asked.get(f"/fhir/{kind}", 0) for kind in TYPES) / NIGHT_LINKS
    print(f"{'':22} requests a link and type: {most:.2f}")
    return beside(f"{NIGHT_LINKS} links, nothing new", theirs, mine) | {"requests_a_type": most}


def main() -> None:
    """Run the contenders, each beside what it comes down to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--people", type=int, default=25)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--contender", choices=["bare", "ours", "plan"])
    options = parser.parse_args()
    if options.contender:
        took = {"bare": bare, "ours": ours, "plan": plan}[options.contender](json.load(sys.stdin))
        print(json.dumps(took | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    found: dict[str, Any] = {"plan": alone("plan", {"links": PLAN_LINKS})}
    print(
        f"{PLAN_LINKS} links planned    {found['plan']['seconds']:.2f} s, {found['plan']['batches']} batches",
        flush=True,
    )
    with server(options.people, 0) as base:
        found["static"] = crawl("static", base, options.people, options.threads)
    with server(options.people, HAPI_SECONDS, HAPI_SEARCH_SECONDS) as base:
        found["paced"] = crawl("paced", base, options.people, options.threads)
        found["quiet_night"] = quiet_night(base, options.people, options.threads)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
