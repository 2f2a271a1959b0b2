"""`charthouse airflow`: Airflow with its web page, the sandbox beside it, until Ctrl-C."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import requests
import typer

from charthouse.api import MOUNT
from charthouse.errors import SetupError
from charthouse.operating import airflow_process, home, own_api, sandbox_network, sandbox_process
from charthouse.operating.nightly import DEFAULT_PEOPLE, DEFAULT_SEED
from charthouse.operating.terminal import console, step, stop_as_by_ctrl_c
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 120
STOP_SECONDS = 30


def run_airflow() -> None:
    """Start the sandbox and Airflow, print address and login, and stay until Ctrl-C or SIGTERM.

    Raises:
        SetupError: CH004 when a port is in use, CH011 when Airflow does not come up.
    """
    stop_as_by_ctrl_c()
    settings, out = get_settings(), console()
    with home.held():
        with step(out, "Home: getting ready"):
            folder = home.prepare()
        if not sandbox_process.known_providers():
            searched_for = sandbox_network.share_of(DEFAULT_PEOPLE)
            with step(out, f"Sandbox provider: {DEFAULT_PEOPLE} people"):
                sandbox_process.generate(DEFAULT_PEOPLE - searched_for, DEFAULT_SEED, sandbox_process.GENERATED)
                found, seed = sandbox_network.store(), DEFAULT_SEED + DEFAULT_PEOPLE
                sandbox_process.generate_into(found, searched_for, seed, broken=False)
        names, network = sandbox_process.known_providers(), sandbox_network.store().exists()
        log = folder / "logs" / "airflow.log"
        with sandbox_process.serving(names, network=network) as sandbox:
            with step(out, "People: signing in at the provider"):
                for name in names:
                    sandbox_process.link_everyone(sandbox, name)
            if network:
                with step(out, "People: verified, and searched for by the partner network"), own_api.serving() as api:
                    sandbox_network.search(sandbox, api, sandbox_process.people_in(sandbox_network.store()))
            with step(out, "Airflow: getting ready"):
                airflow_process.make_ready(log)
            port = _free_port(settings.airflow_port)
            if network:
                sandbox_network.set_up(sandbox, f"http://127.0.0.1:{port}{MOUNT}")
            with log.open("ab") as noise:
                process = airflow_process.start_standalone(noise, port)
            try:
                with step(out, "Airflow: starting"):
                    _wait_until_healthy(process, port, log)
                    airflow_process.run(["dags", "unpause", "--yes", "--treat-dag-id-as-regex", ".+"], log)
                typer.echo(f"Airflow:  http://127.0.0.1:{port}")
                typer.echo(f"Login:    {airflow_process.ADMIN} / {airflow_process.admin_password()}")
                typer.echo(f"REST API: http://127.0.0.1:{port}{MOUNT}")
                typer.echo(f"Sandbox:  {sandbox.url} ({', '.join(names)})")
                if network:
                    typer.echo(f"Partner:  {sandbox.url}/network   verifier: {sandbox.url}/identity")
                typer.echo(f"Log:      {log}")
                typer.echo("Trigger sync_records there. Ctrl-C stops everything.")
                code = process.wait()
                raise SetupError("CH011", where=str(log), what=f"airflow standalone ended with {code}")
            except KeyboardInterrupt:
                pass
            finally:
                _stop(process)


def _free_port(wanted: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError:
            raise SetupError("CH004", where=str(wanted)) from None
        return int(probe.getsockname()[1])


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(requests.RequestException, KeyError, ValueError):
            parts = requests.get(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=5).json()
            if all(parts[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor")):
                return
        time.sleep(1)
    raise SetupError("CH011", where=str(log), what="it did not become healthy")


def _stop(process: subprocess.Popen[bytes]) -> None:
    # SIGTERM to the parent alone would leave its children running; SIGINT takes all of them down (tried on 3.3.2).
    try:
        if process.poll() is None:
            typer.echo("Stopping …")  # in here: whoever reads it and stops a second time is heard
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
    finally:  # also at a second Ctrl-C, by somebody who does not want to wait
        airflow_process.kill_group(process)
