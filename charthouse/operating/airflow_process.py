"""Airflow as a program of its own: the environment it runs in, and the commands the CLI starts.

The domain does not import Airflow; it starts it, as an operator would.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from charthouse.errors import SetupError
from charthouse.files import put_first, write_private
from charthouse.operating import mailroom
from charthouse.operating.tether import tethered
from charthouse.settings import PROJECT_ROOT, get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from charthouse.sync.auditor import Auditor

AIRFLOW = str(Path(sys.executable).parent / "airflow")
ADMIN = "admin"
LOCK_SECONDS = 60
"""How long a process waits for Airflow's SQLite database: on a busy machine the default of 5 s is too short."""


def environment(port: int | None = None) -> dict[str, str]:
    """The environment of every Airflow process of this home. `port` is where its web server listens."""
    settings = get_settings()
    folder = settings.home / "airflow"
    web = f"http://127.0.0.1:{port or 0}"
    return os.environ | {
        # Where the REST API is, for the links of pages and mails; an operator's own address goes before it.
        **({"CHARTHOUSE_PUBLIC_URL": web} if port and not settings.public_url else {}),
        **mailroom.environment(),
        "CHARTHOUSE_HOME": str(settings.home),
        "PYTHONPATH": str(PROJECT_ROOT),
        # `airflow standalone` starts its components by name.
        "PATH": f"{Path(AIRFLOW).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # Each LocalExecutor worker is a fork of the scheduler; the default of 32 costs a gigabyte.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__FERNET_KEY": _kept_secret("fernet.key"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords()),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{web}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port or 0),
        "AIRFLOW__API__BASE_URL": web,
        "AIRFLOW__API__SECRET_KEY": _kept_secret("api-secret.key"),
        # Airflow signs with HS512: a shorter secret than its digest is warned of (RFC 7518 §3.2).
        "AIRFLOW__API_AUTH__JWT_SECRET": _kept_secret("jwt.key", 64),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}?timeout={LOCK_SECONDS}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.home / "logs" / "airflow"),
        # Free ports, so that two homes run side by side.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": "0",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": "0",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        # A finished task keeps its slot for up to this long (docs/running.md, "Airflow settings that matter").
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "GX_ANALYTICS_ENABLED": "false",
        # Nobody draws DAGs on a terminal; an operator's own choice goes before it.
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore:Could not import graphviz"),
    }


def make_ready(log: Path) -> None:
    """Migrate Airflow's own database and declare the pools, once for each version of either.

    Raises:
        SetupError: CH011 when Airflow refuses; its words are in `log`.
    """
    pools = PROJECT_ROOT / "dags" / "pools.json"
    folder = get_settings().home / "airflow"
    mark = f"{version('apache-airflow-core')} {hashlib.sha256(pools.read_bytes()).hexdigest()}"
    ready = folder / "ready"
    if (folder / "airflow.db").exists() and ready.exists() and ready.read_text() == mark:
        return
    run(["db", "migrate"], log)
    run(["pools", "import", str(pools)], log)
    ready.write_text(mark)


def run(arguments: Sequence[str], log: Path) -> None:
    """Run an Airflow command to its end, its output appended to `log`.

    Raises:
        SetupError: CH011 when it fails.
    """
    with log.open("ab") as out:
        done = subprocess.run([AIRFLOW, *arguments], env=environment(), stdout=out, stderr=out, check=False)  # noqa: S603
    if done.returncode:
        raise SetupError("CH011", where=str(log), what=f"airflow {arguments[0]} ended with {done.returncode}")


def command_line(arguments: Sequence[str]) -> int:
    """Run an Airflow command of the operator's on this terminal. Returns its exit code.

    Raises:
        SetupError: CH014 for a home in which there is no Airflow yet.
    """
    database = get_settings().home / "airflow" / "airflow.db"
    if not database.exists():
        raise SetupError("CH014", where=str(database))
    return subprocess.run([AIRFLOW, *arguments], env=environment(), check=False).returncode  # noqa: S603


def dag_test(
    dag: str, conf: Mapping[str, object], out: IO[bytes], auditor: Auditor | None = None
) -> subprocess.Popen[bytes]:
    """Run one DAG run to its end in a single process, without a scheduler (`airflow dags test`).

    The process has a group of its own: at a Ctrl-C Airflow would take the task for failed and go on with the next. The
    `auditor` is handed over to it: we let go.
    """
    process = _start(["dags", "test", dag, "--conf", orjson.dumps(conf).decode()], out, auditor=auditor)
    if auditor is not None:
        auditor.close()
    return process


def start_standalone(out: IO[bytes], port: int) -> subprocess.Popen[bytes]:
    """Start every Airflow component, the web server on `port`, in a process group of their own."""
    return _start(["standalone"], out, port)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the process group of `dag_test` or `start_standalone`."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _start(
    arguments: Sequence[str], out: IO[bytes], port: int | None = None, auditor: Auditor | None = None
) -> subprocess.Popen[bytes]:
    pipes, named = auditor.handed_over if auditor is not None else ((), {})
    return subprocess.Popen(  # noqa: S603
        tethered([AIRFLOW, *arguments]),
        env=environment(port) | named,
        pass_fds=pipes,
        stdout=out,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def admin_password() -> str:
    """The password of the web page's login, made once a home."""
    return str(orjson.loads(_passwords().read_bytes())[ADMIN])


def _passwords() -> Path:
    file = get_settings().home / "airflow" / "passwords.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        put_first(write_private(file, orjson.dumps({ADMIN: secrets.token_urlsafe(12)})), file)
    return file


def _kept_secret(name: str, size: int = 32) -> str:
    file = get_settings().home / "keys" / f"airflow-{name}"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        put_first(write_private(file, base64.urlsafe_b64encode(secrets.token_bytes(size))), file)
    return file.read_text()
