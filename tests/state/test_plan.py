"""How a night's links are cut into batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.linking import credentials, links, people, providers
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.sync import batches
from charthouse.sync.plan import plan_run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Tokens:
    access_token, refresh_token, expires_at, scope, patient = "a", None, None, None, None
    refresh_expires_at = None


def test_providers_take_turns(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHOUSE_BATCH_LINKS", "2")
    get_settings.cache_clear()
    owners: dict[str, str] = {}
    with session() as state:
        for slug, count in (("large", 6), ("small", 1), ("tiny", 2)):
            providers.register_provider(state, slug=slug, name=slug, fhir_base_url="http://127.0.0.1:1/fhir")
            for number in range(count):
                person = people.create_person(state)
                link = links.start_link(state, person.person_key, slug, "direct", patient_id=f"p{number}")
                credentials.store_tokens(state, link.id, Tokens())
                owners[link.id] = slug
    planned = [batches.read(name).link_ids for name in plan_run([], airflow_run_id="night")]
    turns = [{"large"}, {"small"}, {"tiny"}, {"large"}, {"large"}]
    assert [{owners[link] for link in batch} for batch in planned] == turns
    assert sorted(link for batch in planned for link in batch) == sorted(owners)
