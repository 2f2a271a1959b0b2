"""`charthouse serve` as an operator runs it: it says where it is, answers there, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [str(Path(sys.executable).with_name("charthouse")), "serve"]


@pytest.fixture
def serving(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends(serving: subprocess.Popen[str], number: signal.Signals) -> None:
    assert serving.stdout is not None
    address, document = (serving.stdout.readline().split()[-1] for _ in range(2))
    assert document == f"{address}/openapi.json"
    assert address.endswith("/charthouse/v1")
    assert requests.get(document, timeout=20).status_code == 200
    assert requests.get(f"{address}/callback?code=canary&state=canary", timeout=20).status_code == 404
    serving.send_signal(number)
    _, complaints = serving.communicate(timeout=30)
    assert serving.returncode in (0, 130)
    assert "Traceback" not in complaints
    assert "canary" not in complaints


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
def test_what_keeps_it_from_starting_is_one_sentence(empty: Path) -> None:
    refused = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stderr.split()[0]) == (1, "CH609")


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
def test_a_port_in_use(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stderr.split()[0]) == (1, "CH004")
