"""What the documentation shows is pasted into a shell, from top to bottom, against the sandbox."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from charthouse.linking.providers import register_provider
from charthouse.operating import sandbox_process
from charthouse.state import session

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PERSON = """#!{python}
import sys
from urllib.parse import urlencode
import requests

browser, address = requests.Session(), sys.argv[1]
if "/start/" in address:
    browser.get(address).raise_for_status()
    origin = "/".join(address.split("/")[:3])
    address = browser.post(address, headers={{"Origin": origin}}, allow_redirects=False).headers["Location"]
page = browser.get(address + "&" + urlencode({{"prompt": "none", "login_hint": "{patient}"}}))
page.raise_for_status()
open("{mark}", "w").write(page.url)
"""
"""A browser, and somebody in it who goes on to the provider and agrees."""


def blocks(page: str, heading: str = "") -> list[str]:
    """The shell blocks of a page, or of one section of it."""
    text = (ROOT / page).read_text()
    if heading:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(home: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder to paste in, with the environment, the sandbox up, and a browser in which somebody signs in."""
    sandbox_process.generate(3, 1, "generated")
    first = sandbox_process.people_of("generated")[0]["patient"]
    browser = tmp_path / "browser"
    browser.write_text(PERSON.format(python=sys.executable, patient=first, mark=tmp_path / "came-back"))
    browser.chmod(0o755)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with sandbox_process.serving(["generated"]) as sandbox:
        with session() as state:
            register_provider(state, slug="generated", name="Sandbox", fhir_base_url=sandbox.bases["generated"])
        yield tmp_path


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"CHARTHOUSE_HOME": str(folder / "home"), "BROWSER": str(folder / "browser"), "NO_COLOR": "1"}


def pasted(text: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def running(text: str, folder: Path, until: str) -> Iterator[None]:
    """What is left running in a terminal of its own."""
    process = subprocess.Popen(["bash", "-c", f"{text}\n"], cwd=folder, env=environment(folder), start_new_session=True)
    try:
        for _ in range(300):
            try:
                requests.get(until, timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_the_sandbox_is_tried_as_the_readme_says(shell: Path) -> None:
    [block] = blocks("README.md", "Try it on the sandbox")
    said = pasted(block, shell)
    assert re.search(r"link [0-9a-f-]{36}: pending", said), said
    assert "generated" in said


def test_what_is_not_up_says_when_it_is(home: Path, tmp_path: Path) -> None:
    sandbox_process.generate(1, 1, "generated")
    with session() as state:
        register_provider(state, slug="generated", name="Sandbox", fhir_base_url="http://127.0.0.1:9/generated/fhir")
    done = subprocess.run(
        [
            "bash",
            "-c",
            'charthouse link "$(charthouse sandbox identity | charthouse people add --identity -)" generated',
        ],
        env=environment(tmp_path) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "CH015 The sandbox is not running" in done.stderr
    assert "make airflow" in done.stderr


def test_the_api_is_tried_as_its_page_says(shell: Path) -> None:
    serving, *others = blocks("docs/api.md")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with running(serving.replace("8750", port), shell, f"http://127.0.0.1:{port}/charthouse/v1/health"):
        said = pasted("\n".join(others).replace("8750", port), shell)
    assert "/charthouse/v1/callback?" in (shell / "came-back").read_text()
    assert '"status": "pending"' in said, "linked, until its first records come"
    assert '"conditions": "permitted"' in said
    assert "whole: " in said, "the export was verified"
    assert "The receipt holds, and it is the one of this code." in said
