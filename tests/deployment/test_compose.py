"""docker-compose.yaml: whole, and in step with the settings, the pools and the images' contents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from charthouse.settings import Settings

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_every_airflow_service_is_there() -> None:
    commands = {name: " ".join(service.get("command", [])) for name, service in SERVICES.items()}
    for name, part in {
        "apiserver": "airflow api-server",
        "scheduler": "airflow scheduler",
        "dag-processor": "airflow dag-processor",
        "triggerer": "airflow triggerer",
        "worker": "airflow celery worker",
        "init": "airflow db migrate",
        "sandbox": "python -m sandbox",
    }.items():
        assert part in commands[name]
    assert {"postgres", "redis"} <= SERVICES.keys()


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {f"CHARTHOUSE_{name.upper()}" for name in Settings.model_fields}
    used = {
        name
        for service in SERVICES.values()
        for name in service.get("environment", {})
        if name.startswith("CHARTHOUSE_")
    }
    assert used
    assert used <= known


def test_the_settings_it_gives_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["worker"]["environment"].items():
        if name.startswith("CHARTHOUSE_"):
            monkeypatch.setenv(name, re.sub(r"\$\{\w+(?::?-([^}]*)|:\?)\}", _given, value))
    settings = Settings()
    assert settings.state_database.startswith("postgresql+psycopg://")
    assert settings.vault_catalog != settings.records_catalog


def _given(match: re.Match[str]) -> str:
    """What compose puts in where nobody sets the variable; a secret where it insists on one."""
    return "secret" if match[1] is None else match[1]


def test_secrets_are_never_written_down() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    for line in text.splitlines():
        if re.search(r"PASSWORD:|SECRET|FERNET|password=", line) and "FILE" not in line:
            assert "${" in line, line


def test_dependencies_exist_and_become_healthy() -> None:
    for service in SERVICES.values():
        for name, need in service.get("depends_on", {}).items():
            assert name in SERVICES
            if need["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]


def test_databases_that_services_name_are_made() -> None:
    made = (ROOT / "docker" / "databases.sql").read_text()
    text = (ROOT / "docker-compose.yaml").read_text()
    for database in set(re.findall(r"dbname=(\w+)|@postgres/(charthouse_\w+)", text)):
        assert f"CREATE DATABASE {''.join(database)};" in made


def test_every_service_that_stays_says_whether_it_is_well() -> None:
    silent = {name for name, service in SERVICES.items() if "healthcheck" not in service}
    assert silent == {"init", "hapi"}, "HAPI's image holds no shell and no client to ask with"


def test_the_sandbox_gets_no_secret_and_nothing_of_the_home() -> None:
    sandbox = SERVICES["sandbox"]
    assert "environment" not in sandbox
    assert not [volume for volume in sandbox["volumes"] if volume.startswith("home:")]


def test_only_the_owner_may_connect_to_a_database_and_analysts_to_the_records() -> None:
    made = (ROOT / "docker" / "databases.sql").read_text()
    databases = {"airflow", "postgres", *re.findall(r"CREATE DATABASE (\w+);", made)}
    assert set(re.findall(r"REVOKE CONNECT ON DATABASE (\w+) FROM PUBLIC;", made)) == databases
    assert re.findall(r"GRANT CONNECT ON DATABASE (\w+) TO (\w+);", made) == [("charthouse_records", "analyst")]


def test_what_a_home_holds_never_reaches_the_image() -> None:
    kept_out, *let_in = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert kept_out == "*"
    copied = re.findall(r"^COPY --chown=\w+ (.+) \S+$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    assert {line[1:] for line in let_in if line.startswith("!")} == set(" ".join(copied).split())


def test_the_image_holds_every_package() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    for folder in ("charthouse", "transforms", "schemas", "expectations", "sandbox", "dags", "plugins"):
        assert re.search(rf"^COPY .*{folder} {folder}$", dockerfile, re.MULTILINE)
    assert "--require-hashes" in dockerfile


def test_the_image_can_dump_the_server_of_compose() -> None:
    """pg_dump refuses a server that is newer than itself, and what a newer one dumps an older server may not take."""
    server = re.fullmatch(r"postgres:(\d+)(?:\.\d+)?(?:-\w+)?", SERVICES["postgres"]["image"])
    installed = re.findall(r"install .*postgresql-client-(\d+)", (ROOT / "docker" / "Dockerfile").read_text())
    assert server
    assert installed == [server[1]]


def test_pools_cover_what_the_dags_use() -> None:
    pools = json.loads((ROOT / "dags" / "pools.json").read_text())
    used = {name for file in (ROOT / "dags").glob("*.py") for name in re.findall(r'pool="(\w+)"', file.read_text())}
    assert used == pools.keys()
