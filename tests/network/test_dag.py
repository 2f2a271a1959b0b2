"""The DAG find_providers, run by Airflow: everybody whose turn it is, and nothing of a person in what Airflow keeps."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from charthouse.linking import found_providers, links, searching
from charthouse.operating import airflow_process
from charthouse.state import session
from charthouse.state.engine import engine

from .conftest import verified


def test_the_day_looks_for_everybody_whose_turn_it_is(partner, home, migrated_airflow):
    keys = [verified(said) for said in partner.patients["north"][:2]]
    migrated_airflow(home)
    engine().dispose()
    log = home / "logs" / "test.log"
    airflow_process.make_ready(log)
    with log.open("ab") as out:
        airflow_process.dag_test("find_providers", {}, out).wait()
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as database:
        states = database.execute("SELECT task_id, state FROM task_instance").fetchall()
        kept = [
            database.execute(f"SELECT CAST({column} AS TEXT) FROM {table}").fetchall()
            for table, column in (("xcom", "value"), ("rendered_task_instance_fields", "rendered_fields"))
        ]
    assert dict(states) == {"verify": "success", "plan": "success", "find": "success"}, log.read_text()[-2000:]
    with session(read_only=True) as state:
        assert {one.person_key for one in found_providers.list_found(state)} == set(keys)
        matched = [links.get_link(state, one.link_id).identity_matched_at for one in links.list_links(state)]
        assert len(matched) == 2
        assert all(matched)
        assert searching.due(state, "bwell") == []
    said = f"{kept}{log.read_text()}"
    assert not [key for key in keys if key in said]
    assert not [one for one in partner.patients["north"][:2] if one["patient"] in said]
