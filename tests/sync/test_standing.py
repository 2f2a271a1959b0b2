"""How links stand is told at the end of each run, where it differs; people, coverage and providers are views of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from charthouse.lake.session import open_records
from charthouse.linking import links
from charthouse.state import session
from charthouse.state.ledger import SyncRun, SyncTally
from charthouse.state.models import Link
from charthouse.sync.standing import tell_standing
from tests.privacy.stocked import new_person

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("home")
_LABS = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
LABS_ALONE = f"patient/Patient.rs patient/Observation.rs?category={_LABS}"


def asked(query: str) -> list[tuple[Any, ...]]:
    with open_records(read_only=True) as connection:
        return connection.execute(query).fetchall()


def said(*rows: str) -> None:
    """Put rows into `demographics`: link, birth year, sex, whether deceased, year of death, state, last updated."""
    with open_records() as connection:
        for row in rows:
            connection.execute(
                "INSERT INTO records.demographics (person_key, link_id, birth_year, sex, is_deceased, death_year,"
                f" state, last_updated) VALUES ('ann', {row})"
            )


def granted(link: str, scopes: str, results: dict[str, str]) -> None:
    """What a link granted, and how asking for its types ended in the run of the test."""
    with session() as state:
        state.execute(update(Link).where(Link.id == link).values(granted_scopes=scopes))
        state.add(SyncRun(id="run", scope="all"))
        state.flush()
        for kind, result in results.items():
            reason = "" if result in {"complete", "partial", "failed"} else result
            told = {"result": "" if reason else result, "not_requested": reason}
            state.add(SyncTally(run_id="run", link_id=link, resource_type=kind, **told))


def test_over_an_empty_lake_every_view_answers() -> None:
    for view in ("people", "coverage", "providers", "codes"):
        assert asked(f"FROM records.{view}") == []
    assert tell_standing("none") == 0


def test_what_links_permit_and_how_they_stand_is_told_where_it_differs(home: Path) -> None:
    person, link = new_person()
    granted(link, LABS_ALONE, {"Observation": "complete", "Condition": "not_permitted"})
    assert tell_standing("run") == 2, "one link, in both tables"
    assert tell_standing("run") == 0
    snapshots = asked("SELECT count(*) FROM ducklake_snapshots('records')")
    assert tell_standing("another") == 0, "a run that did not ask it leaves what was told"
    assert asked("SELECT count(*) FROM ducklake_snapshots('records')") == snapshots

    found = {
        name: rest for name, *rest in asked("SELECT table_name, permission, result, row_count FROM records.coverage")
    }
    assert found["lab_results"] == ["permitted", "complete", 0]
    assert found["conditions"] == ["not_permitted", "not_permitted", 0]
    assert found["documents"] == ["not_permitted", None, 0]
    assert len(found) == 13
    assert asked("SELECT person_key, provider_name, status FROM records.links") == [
        (person, "Clinic Clinic", "pending")
    ]

    with session() as state:
        links.transition(state, link, "expired", "authorization_ended", "sync")
    assert tell_standing("later") == 1
    assert asked("SELECT provider, links, expired, never_synced FROM records.providers") == [("clinic", 1, 1, 1)]
    assert "portal" not in str(asked("FROM records.links"))
    with session() as state:
        links.transition(state, link, "deleted", "deletion_asked", "person")
    assert tell_standing("last") == 2
    assert asked("FROM records.links") == asked("FROM records.granted") == []


def test_two_providers_that_disagree_are_answered_and_seen_to_disagree() -> None:
    said(
        "'a', 1955, 'female', NULL, NULL, 'MA', '2020-01-01'",
        "'b', 1956, 'unknown', true, 2021, 'MA', '2024-01-01'",
    )
    query = "SELECT birth_year, sex, age_band, is_deceased, state, disagrees_on, birth_years, sexes FROM records.people"
    assert asked(query) == [
        (1956, "female", "60-69", True, "MA", ["birth_year", "sex"], [1955, 1956], ["female", "unknown"])
    ]
    said("'c', 1955, 'female', false, NULL, NULL, NULL")
    ((year, _, band, dead, _, differ, *_),) = asked(query)
    assert (year, band, dead, differ) == (1955, "60-69", True, ["birth_year", "is_deceased", "sex"])


def test_somebody_of_whom_nobody_said_anything_is_there() -> None:
    person, _ = new_person()
    tell_standing("run")
    assert asked("SELECT person_key, birth_year, age_band, links, providers, disagrees_on FROM records.people") == [
        (person, None, None, 1, 1, [])
    ]
