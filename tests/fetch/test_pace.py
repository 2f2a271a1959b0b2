"""One server, many workers: its rate, its wish to be left alone and its failures are known to all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text

from charthouse.errors import FetchError
from charthouse.partners.host_book import StateBook
from charthouse.partners.hosts import BREAK_AFTER, Hosts
from charthouse.partners.http import HttpClient
from charthouse.settings import Settings
from charthouse.state import migrate
from tests.partners.odd_server import Asked, OddServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
RATE = 40
WORKER = """
import sys, threading
from charthouse.errors import FetchError
from charthouse.partners.host_book import StateBook
from charthouse.partners.hosts import Hosts
from charthouse.partners.http import HttpClient
from charthouse.settings import get_settings

settings = get_settings()
url, seconds = sys.argv[1], float(sys.argv[2])

def work(client):
    try:
        while True:
            client.get(url)
    except FetchError:
        pass

with HttpClient(settings, seconds=seconds, hosts=Hosts(StateBook(settings), settings)) as client:
    print("ready", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=work, args=(client,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of several workers with one state database, and of a server that takes little."""
    state_url = ""
    if request.param == "postgresql":
        server = make_url(os.environ["CHARTHOUSE_TEST_POSTGRES_URL"])
        name = f"pace_{os.getpid()}"
        made = create_engine(server, isolation_level="AUTOCOMMIT")
        with made.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        state_url = server.set(database=name).render_as_string(hide_password=False)
    settings = Settings(
        home=tmp_path, state_url=state_url, requests_per_second=RATE, retry_wait_max=1.0, request_tries=2
    )
    migrate(settings)
    yield settings
    if state_url:
        with made.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        made.dispose()


def worker(settings: Settings, url: str, seconds: float) -> subprocess.Popen[str]:
    """Another process that asks as fast as it may, for so long, once it is told to."""
    variables = {
        "CHARTHOUSE_HOME": settings.home,
        "CHARTHOUSE_STATE_URL": settings.state_url,
        "CHARTHOUSE_REQUESTS_PER_SECOND": RATE,
        "CHARTHOUSE_RETRY_WAIT_MAX": settings.retry_wait_max,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, url, str(seconds)],
        cwd=ROOT,
        env=os.environ | {name: str(value) for name, value in variables.items()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def client_of(settings: Settings) -> HttpClient:
    return HttpClient(settings, hosts=Hosts(StateBook(settings), settings))


def test_workers_together_keep_to_a_hosts_rate_and_a_killed_one_takes_nothing_with_it(shared: Settings) -> None:
    arrived: list[float] = []

    def answer(_: Asked) -> Reply:
        arrived.append(time.monotonic())
        return Reply(body=b"{}")

    with OddServer(answer) as server:
        workers = [worker(shared, server.url, 2.5) for _ in range(2)]
        for process in workers:
            go(process)
        while len(arrived) < RATE // 2:
            time.sleep(0.01)
        workers[0].send_signal(signal.SIGKILL)
        killed = len(arrived)
        assert workers[1].wait(30) == 0
        workers[0].wait(30)
    spread = arrived[-1] - arrived[0]
    assert len(arrived) <= RATE * spread + 1, "the rate of the host, not of each worker"
    for start in arrived:
        within = sum(start <= moment < start + 1 for moment in arrived)
        assert within <= RATE * 1.05, "nor in any second of it, but for what a busy machine delays"
    assert len(arrived) > killed + RATE / 2, "the one that is left goes on"


def test_a_host_that_asks_for_quiet_is_left_by_all_workers(shared: Settings) -> None:
    arrived: list[float] = []

    def answer(_: Asked) -> Reply:
        arrived.append(time.monotonic())
        return Reply(429, headers={"Retry-After": "600"}) if len(arrived) == 5 else Reply(body=b"{}")

    with OddServer(answer) as server:
        workers = [worker(shared, server.url, 2.2) for _ in range(2)]
        for process in workers:
            go(process)
        for process in workers:
            assert process.wait(30) == 0
    told = arrived[4]
    quiet = [moment for moment in arrived if told + 0.6 < moment < told + 0.95]
    assert not quiet, "beyond what was leased before, nothing comes until the wait is over"
    assert arrived[-1] > told + 1.0, "which is as long as the settings permit"


def test_a_host_that_fails_is_probed_by_one_request_and_comes_back(shared: Settings) -> None:
    well = threading.Event()
    settings = shared.model_copy(update={"requests_per_second": 2000.0, "retry_wait_max": 0.02, "host_patience": 0.0})
    with OddServer(lambda _: Reply(body=b"{}") if well.is_set() else Reply(500)) as server:
        with client_of(settings) as first:
            while len(server.asked) < BREAK_AFTER:
                with pytest.raises(FetchError, match="CH109"):
                    first.get(server.url)
        patient = settings.model_copy(update={"retry_wait_max": 0.5})
        with client_of(patient) as second:  # it knows what the first has found
            with pytest.raises(FetchError, match=r"CH109|CH140"):
                second.get(server.url)
            before = len(server.asked)
            with pytest.raises(FetchError, match="CH140"):
                second.get(server.url)
            assert len(server.asked) == before, "it is left alone"
            well.set()
            time.sleep(0.6)
            assert second.get(server.url).body == b"{}", "a probe finds it well"
            assert second.get(server.url).body == b"{}"


def test_few_writes_for_many_requests(shared: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = shared.model_copy(update={"requests_per_second": 400.0})
    book, leased = StateBook(settings), []
    admit = book.admit
    monkeypatch.setattr(book, "admit", lambda *said: leased.append(said) or admit(*said))
    with OddServer(lambda _: Reply(body=b"{}")) as server:
        with HttpClient(settings, hosts=Hosts(book, settings)) as client:
            threads = [threading.Thread(target=lambda: [client.get(server.url) for _ in range(50)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(server.asked) == 200
    assert len(leased) < 60


def test_without_a_state_database_a_process_goes_by_itself(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "nothing", requests_per_second=500)
    with OddServer(lambda _: Reply(body=b"{}")) as server, client_of(settings) as client:
        assert client.get(server.url).body == b"{}"
