"""The way through a partner, measured: a person's stream, whose turn it is, and the partner's rate.

    python -m benchmarks.routes_network [--copies 60] [--people 100000] [--looks 300] [--rate 60]

* **Stream**: one person's `$everything` from the sandbox's network, landed as a night does (spooled, sorted to the
  link, packed, closed), beside a bare GET of the same stream whose lines are thrown away, in turns.
* **Turns**: the keys of all people who are due, of so many verified accounts, asked of the state as the job does.
* **Rate**: a job over people who are new to the partner, told how many requests a second; counted at the server.

Everything runs on one machine in one run: the figures to read are the ratios. The server has the same cores: on a
machine with none to spare, `rate_of_a_bare_get` is that of who got them. `own_cpu_of_a_bare_get` is what a landing
costs of a core, for each second that the bare stream takes of the server's: below 1, it keeps pace where it has a core,
and what is behind the last line (what is pointed at, files brought to disk) is what remains. Writes
benchmarks/results/routes_network.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import requests
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "routes_network.json"
CLIENT, SECRET = "bench", "a secret of the bench"
ROUNDS = 5


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=60, help="how often each Observation of the one person is there")
    parser.add_argument("--people", type=int, default=100_000, help="verified accounts")
    parser.add_argument("--looks", type=int, default=300, help="people of the job whose rate is counted")
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second that the partner takes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ |= {"CHARTHOUSE_HOME": str(here / "home"), "CHARTHOUSE_PRIVATE_ADDRESSES": "loopback"}
        stores = {"one": one_large(here, chosen.copies), "many": many(here, chosen.looks)}
        with serving(here, stores) as (network, server):
            prepare(network, chosen.rate)
            said = {"stream": stream(server)}
            said["rate"] = rate(network, chosen.looks, chosen.rate)
        said["turns"] = turns(chosen.people)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(said, indent=1) + "\n")
    print(json.dumps(said, indent=1))


def stream(server: psutil.Process) -> dict[str, Any]:
    """One person's stream, bare and landed, in turns."""
    from charthouse.linking import finding, links
    from charthouse.state import session
    from charthouse.sync import batches
    from charthouse.sync.collect import collect_batch
    from charthouse.sync.plan import plan_run

    key = account("one", people_in("one")[0])
    finding.look_now(key)
    with session(read_only=True) as state:
        (link,) = links.list_links(state, person_key=key)
    (name,) = plan_run([], airflow_run_id="bench")
    batch = batches.read(name)
    url, token = everything_of(key)
    seconds: dict[str, list[float]] = {"bare": [], "landed": []}
    own: list[float] = []
    theirs: list[float] = []
    size = lines = 0
    for _ in range(ROUNDS):
        began, spent = time.perf_counter(), sum(server.cpu_times()[:2])
        size, lines = bare(url, token)
        theirs.append(sum(server.cpu_times()[:2]) - spent)
        seconds["bare"].append(time.perf_counter() - began)
        for file in (batch.folder / link.link_id).glob("*"):
            file.unlink()
        began, spent = time.perf_counter(), time.process_time()
        collect_batch(name)
        seconds["landed"].append(time.perf_counter() - began)
        own.append(time.process_time() - spent)
    best = {what: min(taken) for what, taken in seconds.items()}
    return {
        "lines": lines,
        "megabytes": round(size / 1e6, 1),
        "seconds": {what: round(taken, 3) for what, taken in best.items()},
        "rate_of_a_bare_get": round(best["bare"] / best["landed"], 2),
        "own_cpu_seconds": round(min(own), 3),
        "server_cpu_seconds": round(min(theirs), 3),
        "own_cpu_of_a_bare_get": round(min(own) / min(theirs), 2),
    }


def bare(url: str, token: str) -> tuple[int, int]:
    """Read a stream and throw it away."""
    size = lines = 0
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/fhir+ndjson", "Accept-Encoding": "gzip"}
    with urllib3.PoolManager() as pool:
        answer = pool.request("GET", url, headers=headers, preload_content=False)
        assert answer.status == 200, answer.status
        while chunk := answer.read1(2**18, decode_content=True):
            size += len(chunk)
            lines += chunk.count(b"\n")
    return size, lines


def rate(network: str, looks: int, wanted: float) -> dict[str, Any]:
    """A job over people who are new to the partner: how fast it asked, at the server."""
    from charthouse.linking import finding

    for said in people_in("many")[:looks]:
        account("many", said)
    requests.delete(f"{network}/sandbox/requests", timeout=30)
    began = time.perf_counter()
    looked = finding.find_providers("bwell")
    seconds = time.perf_counter() - began
    counted = requests.get(f"{network}/sandbox/requests", timeout=30).json()
    return {
        "people": looked.people,
        "failed": looked.failed,
        "found": looked.new,
        "requests": counted["total"],
        "asked_a_second": round(counted["total"] / seconds, 1),
        "permitted_a_second": wanted,
        "busiest_second": counted["busiest_second"],
        "refused": counted["counts"].get("429", 0),
    }


def turns(people: int) -> dict[str, Any]:
    """Whose turn it is, of so many verified people; most of them were looked at before."""
    from sqlalchemy import insert

    from charthouse.linking import searching
    from charthouse.state import session
    from charthouse.state.base import now
    from charthouse.state.linking import Consent
    from charthouse.state.models import Person
    from charthouse.state.network import IdentityVerification, NetworkPerson

    keys = [str(uuid.uuid4()) for _ in range(people)]
    at = now()
    with session() as state:
        for start in range(0, people, 5_000):
            some = keys[start : start + 5_000]
            state.execute(
                insert(Person), [{"person_key": key, "country": "US", "sealed_identity": b"x"} for key in some]
            )
            given = [{"person_key": key, "kind": "import-records"} for key in some]
            state.execute(insert(Consent), given)
            held = {"verifier": "bench", "outcome": "verified", "level": "IAL2", "verified_at": at}
            state.execute(
                insert(IdentityVerification), [{"person_key": key, "session_id": key, **held} for key in some]
            )
            seen = {"partner": "bwell", "next_look_at": at - timedelta(hours=1)}
            state.execute(insert(NetworkPerson), [{"person_key": key, **seen} for key in some[::2]])
    began = time.perf_counter()
    with session(read_only=True) as state:
        due = searching.due(state, "bwell")
    return {
        "people": people,
        "due": len(due),
        "seconds": round(time.perf_counter() - began, 2),
        "permitted_seconds": 30,
    }


def account(name: str, said: dict[str, Any]) -> str:
    """An account of one of the sandbox's people, verified and agreed."""
    from charthouse.linking import consents, people, verifications
    from charthouse.linking.identity import parse_identity
    from charthouse.state import session
    from charthouse.state.base import now

    identity = parse_identity({"name": said["name"], "birthDate": said["birthDate"]})
    with session() as state:
        key = people.create_person(state, identity=identity, android_version=14).person_key
        verifications.record(state, key, verifier=name, session_id=key, outcome="verified", at=now(), level="IAL2")
        consents.give(state, key, consents.IMPORT)
    return key


def everything_of(key: str) -> tuple[str, str]:
    """Where a person's stream is, and a token for it."""
    from charthouse.linking.identity import identity_of
    from charthouse.linking.network_accounts import network_of, who_is
    from charthouse.linking.people import get_person
    from charthouse.state import session
    from charthouse.state.network import NetworkPerson

    with session(read_only=True) as state:
        identity = identity_of(get_person(state, key))
        there = state.get_one(NetworkPerson, key).partner_person_id
    assert identity is not None
    made = network_of("bwell").everything(who_is(key, identity), str(there), None)
    return made.url, made.token(False)


def prepare(network: str, wanted: float) -> None:
    """A home, and its account at the network."""
    from charthouse.linking import signing_keys
    from charthouse.linking.network_accounts import set_account
    from charthouse.operating.home import prepare as make_home
    from charthouse.state import session

    make_home()
    with session() as state:
        set_account(
            state,
            "bwell",
            api_url=network,
            fhir_base_url=f"{network}/fhir/4_0_0",
            client_key=CLIENT,
            secret=SECRET,
            requests_per_second=wanted,
        )
    client = {"client_key": CLIENT, "secret": SECRET, "jwks": signing_keys.public_jwks("identity_token")}
    requests.post(f"{network}/sandbox/clients", json=client, timeout=30).raise_for_status()


@contextmanager
def serving(here: Path, stores: dict[str, Path]) -> Iterator[tuple[str, psutil.Process]]:
    """The sandbox with a network over these stores; its address, and its process."""
    plan = here / "network.json"
    plan.write_text(json.dumps([{"id": name, "name": name, "provider": name} for name in stores]))
    chosen = [part for name, store in stores.items() for part in ("--provider", f"{name}={store}")]
    command = [sys.executable, "-m", "sandbox", "serve", "--port", "0", *chosen, "--network", str(plan)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        at = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/network"
        try:
            yield at, psutil.Process(process.pid)
        finally:
            process.terminate()


_PEOPLE: dict[str, list[dict[str, Any]]] = {}


def people_in(name: str) -> list[dict[str, Any]]:
    """The people of a store."""
    return _PEOPLE[name]


def one_large(here: Path, copies: int) -> Path:
    """A store of one person, whose Observations are there many times."""
    made = here / "one"
    sandbox("generate", "--people", "1", "--seed", "3", "--broken-share", "0", "--out", str(made), "--plain")
    observations = next(made.glob("Observation*"))
    lines = observations.read_text().splitlines()
    with observations.open("a") as more:
        for line in lines:
            identity = json.loads(line)["id"]
            for _ in range(copies):
                more.write(line.replace(identity, str(uuid.uuid4())) + "\n")
    return loaded("one", made, here)


def many(here: Path, people: int) -> Path:
    """A store of many people, of whom there is no more than the Patient."""
    made = here / "many"
    sandbox(
        "generate", "--people", str(max(1, people)), "--seed", "4", "--broken-share", "0", "--out", str(made), "--plain"
    )
    for file in made.iterdir():
        if not file.name.startswith("Patient"):
            file.unlink()
    return loaded("many", made, here)


def loaded(name: str, folder: Path, here: Path) -> Path:
    """A store of what is in a folder."""
    store = here / f"{name}.sqlite"
    sandbox("load", "--source", str(folder), "--store", str(store))
    _PEOPLE[name] = json.loads(sandbox("people", "--store", str(store)))
    return store


def sandbox(*arguments: str) -> str:
    """A command of the sandbox's, and what it said."""
    command = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
