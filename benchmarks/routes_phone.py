"""Uploads of phones, measured: an upload in chunks against bare POSTs of the same bytes into a file, on one server.

    python -m benchmarks.routes_phone [--megabytes 30] [--rounds 5]

The server is the REST API with one bare route beside it that writes a body to a file and brings it to disk, in a
process of its own. The figure to read is the ratio of the best rates (to bare POSTs of each chunk, and of the whole);
the megabytes a second are this machine's. Judging happens after the last answer, and is measured apart. So is the
server's memory: its peak while an upload is taken and judged must not grow with the upload.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from sandbox.phone import CHUNK, App, Reading, written
from sandbox.phone_store import DataSource, HealthConnect

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PATIENT = '{"resourceType":"Patient","id":"p1","name":[{"family":"Bench","given":["Mark"]}],"birthDate":"1956-07-19"}'


def _serve(folder: Path) -> None:
    """The API, and `/bare/<name>` beside it."""
    import uvicorn

    from charthouse.api.app import make_server_app
    from charthouse.settings import get_settings

    api = make_server_app(get_settings().model_copy(update={"api_limit": "1000000/minute"}))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/bare/"):
            await api(scope, receive, send)
            return
        with (folder / scope["path"].rpartition("/")[2]).open("ab") as out:
            while True:
                message = await receive()
                out.write(message.get("body", b""))
                if not message.get("more_body"):
                    break
            out.flush()
            os.fdatasync(out.fileno())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, port=0, access_log=False, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    server.run(sockets=[_listening()])


def _listening() -> Any:
    import socket

    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    return listening


def _records(megabytes: float) -> Iterator[dict[str, str]]:
    """Vaccines with a narrative of a kilobyte, and who they are of."""
    yield {"type": "PERSONAL_DETAILS", "data": PATIENT}
    text = "A line of a visit that says what was given, where and by whom. " * 14
    for number in range(int(megabytes * 1e6 / 1_330)):
        data = (
            f'{{"resourceType":"Immunization","id":"v{number}","status":"completed","vaccineCode":{{"text":"Influenza"}},'
            f'"patient":{{"reference":"Patient/p1"}},"occurrenceDateTime":"2024-10-01","note":[{{"text":"{text}"}}]}}'
        )
        yield {"type": "VACCINES", "data": data}


def _person() -> str:
    from datetime import date

    from charthouse.linking import consents, people
    from charthouse.linking.identity import HumanName, Identity
    from charthouse.state import session

    with session() as state:
        identity = Identity((HumanName(family="Bench", given=("Mark",)),), date(1956, 7, 19))
        key = people.create_person(state, identity=identity, android_version=15).person_key
        consents.give(state, key, consents.SYNC)
    return key


def _app(url: str) -> tuple[App, str]:
    """A phone of its own: each may send 35 MB in a quarter of an hour."""
    from charthouse.api import tokens

    store = HealthConnect()
    store.add_source(DataSource("com.example.portal", "https://fhir.bench.example/r4", "Bench"))
    person = _person()
    token = tokens.issue(person=person)
    app = App(url, person, lambda: token, store)
    return app, app.say_state()["data_sources"][0]["link_id"]


def _bare(url: str, reading: Reading, name: str, chunk: int) -> float:
    reading.file.seek(0)
    with requests.Session() as http:
        http.trust_env = False
        http.post(f"{url}/bare/{name}-warm", data=b"x", timeout=60)
        began = time.perf_counter()
        while body := reading.file.read(chunk):
            http.post(f"{url}/bare/{name}", data=body, timeout=60).raise_for_status()
        return time.perf_counter() - began


def _spent(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> float:
    """The most memory that a process has had, in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        _serve(chosen.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHARTHOUSE_HOME"] = f"{folder}/home"
        from charthouse.operating.home import prepare

        prepare()
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.routes_phone", "--serve", folder],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            _measure(f"http://127.0.0.1:{server.stdout.readline().strip()}", chosen, server.pid)
        finally:
            server.terminate()
            server.wait()


def _measure(url: str, chosen: argparse.Namespace, pid: int) -> None:
    from charthouse.api import MOUNT

    small = written(_records(1), "full", ("PERSONAL_DETAILS", "VACCINES"))
    app, link = _app(url + MOUNT)
    app.upload(link, small)
    before = _peak(pid)
    best = {"bare in chunks": 0.0, "bare in one": 0.0, "uploaded": 0.0}
    spent = dict.fromkeys(best, 0.0)
    for number in range(chosen.rounds):
        reading = written(_records(chosen.megabytes), "full", ("PERSONAL_DETAILS", "VACCINES"))
        size = reading.length / 1e6
        app, link = _app(url + MOUNT)
        for name, chunk in (("bare in chunks", CHUNK), ("bare in one", reading.length)):
            before_it = _spent(pid)
            took = _bare(url, reading, f"{name}-{number}", chunk)
            best[name] = max(best[name], size / took)
            spent[name] += _spent(pid) - before_it
        before_it, began = _spent(pid), time.perf_counter()
        upload = app.begin(link, reading)
        app.send(link, upload, reading)
        took = time.perf_counter() - began
        best["uploaded"] = max(best["uploaded"], size / took)
        spent["uploaded"] += _spent(pid) - before_it  # the beginning of the judging with it
        said = app.verdict(link, upload)
        judged = time.perf_counter() - began - took
        assert said["status"] == "accepted", said
        print(f"{size:.0f} MB: uploaded at {size / took:.0f} MB/s, then judged at {size / judged:.0f} MB/s")
    for name in ("bare in chunks", "bare in one"):
        rate, work = best["uploaded"] / best[name], spent["uploaded"] / spent[name]
        print(f"an upload / {name}: {rate:.2f} of its best rate (0.50 is asked for), {work:.1f} of the processor time")
    print(f"the server's peak: {before:.0f} MB with 1 MB, {_peak(pid):.0f} MB with {chosen.megabytes:.0f} MB")


if __name__ == "__main__":
    main()
