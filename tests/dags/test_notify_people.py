"""A real run of notify_people: people are told, and Airflow learns nothing of them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from charthouse.linking import links, people, providers
from charthouse.linking.keys import ensure_key
from charthouse.notify import contacts, outbox
from charthouse.operating import airflow_process
from charthouse.settings import get_settings
from charthouse.state import migrate, session

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CANARIES = ("ada.canary", "people.example", "Canary Clinic")

SCHEDULE = """
import json, sys
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.serialization.serialized_objects import DagSerialization
from pathlib import Path

folder = Path(sys.argv[1])
dag = BundleDagBag(dag_folder=str(folder), bundle_path=folder, bundle_name="dags-folder").dags["notify_people"]
kept = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
print(json.dumps([kept.summary, [alias.name for _, alias in kept.asset_condition.iter_asset_aliases()]]))
"""


def test_it_runs_every_few_minutes_and_after_what_is_published(home: Path) -> None:
    airflow_process.make_ready(home / "logs" / "test.log")
    done = subprocess.run(
        [sys.executable, "-c", SCHEDULE, str(airflow_process.PROJECT_ROOT / "dags")],
        env=airflow_process.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == '["Asset or */5 * * * *", ["published_tables"]]'


def test_a_run_tells_people_and_airflow_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHOUSE_SMTP_URL", f"folder://{home}/mails")
    monkeypatch.setenv("CHARTHOUSE_MAIL_FROM", "records@charthouse.example")
    get_settings.cache_clear()
    ensure_key()
    migrate()
    with session() as state:
        providers.register_provider(
            state, slug="clinic", name="Canary Clinic", fhir_base_url="https://clinic.example/fhir"
        )
        person = people.create_person(state).person_key
        link = links.start_link(state, person, "clinic", "direct").id
        contacts.set_contact(state, person, "email", "ada.canary@people.example")
        outbox.tell(state, person, "expired", link_id=link, dedupe="test:1")
    log = home / "logs" / "test.log"
    airflow_process.make_ready(log)
    with log.open("ab") as out:
        airflow_process.dag_test("notify_people", {}, out).wait()
    [mail] = (home / "mails").glob("*.eml")
    assert all(canary in mail.read_text().replace("=\n", "") for canary in CANARIES)
    assert "email_sent=1" in log.read_text()
    kept = [file for folder in ("logs", "airflow") for file in (home / folder).rglob("*") if file.is_file()]
    for file in [*kept, *home.glob("state.sqlite*")]:
        content = file.read_bytes()
        assert b"ada.canary" not in content, file.name
        assert b"Canary Clinic" not in content or file.name.startswith("state.sqlite"), file.name
