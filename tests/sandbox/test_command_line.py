"""Starting and stopping the sandbox as a program."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import requests

from tests.sandbox.app import run, serving

if TYPE_CHECKING:
    from pathlib import Path


def test_what_stands_in_the_way_is_one_sentence(generated: Path, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = str(held.getsockname()[1])
        taken = run("serve", "--port", port, "--provider", f"house={generated}")
    broken = tmp_path / "broken.sqlite"
    broken.write_text("this is no database at all, whatever its name says")
    for done, said in (
        (taken, f"127.0.0.1:{port} cannot be listened on"),
        (run("serve", "--provider", f"house={tmp_path / 'none.sqlite'}"), "there is no store"),
        (run("serve", "--provider", f"house={broken}"), "cannot be used as a store"),
        (run("generate", "--people", "1", "--store", "/proc/none/s.sqlite"), "cannot be used as a store"),
    ):
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert not done.stdout


def test_two_providers_share_a_server_and_nothing_else(generated: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    assert run("generate", "--people", "1", "--seed", "77", "--store", str(other)).returncode == 0
    with serving(one=generated, two=other) as bases:
        people = {
            name: requests.get(base.replace("/fhir", "/sandbox/people"), timeout=10).json()
            for name, base in bases.items()
        }
        assert (len(people["one"]), len(people["two"])) == (6, 1)
        foreign = requests.get(f"{bases['one']}/metadata", headers={"Host": "evil.example"}, timeout=10)
        assert foreign.status_code == 421
        assert requests.get(f"{bases['one']}/metadata", headers={"Host": "sandbox:9000"}, timeout=10).ok
        nowhere = bases["one"].replace("/one/", "/three/")
        assert requests.get(f"{nowhere}/metadata", timeout=10).status_code == 404
