"""The partner starts anew: killed after a night, and there again on another day, with the people whom it knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.linking import finding, found_providers
from charthouse.linking.keys import ensure_key
from charthouse.notify.outbox import list_notices
from charthouse.settings import get_settings
from charthouse.state import session

from .conftest import ORGANIZATIONS, Night, connect, in_vault, report, serving, verified

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_partner_that_was_killed_loses_nobody_and_finds_nobody_anew(
    stores: dict[str, Path], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_key()
    clock = tmp_path / "clock"
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(clock))
    get_settings.cache_clear()
    with serving(tmp_path, stores, ORGANIZATIONS) as partner:
        connect(partner)
        kept, gone = (verified(said) for said in partner.patients["north"][:2])
        assert finding.find_providers("bwell").new == 4
        first = report(Night("first").run())
        assert (first.status, first.links.complete) == ("complete", 2)
        partner.move(gone, "north-clinic", "EXPIRED")
        knew = partner.people()
        partner.process.kill()
    with session(read_only=True) as state:
        links = {key: [one.link_id for one in found_providers.list_found(state, key)] for key in (kept, gone)}
        notices = len(list_notices(state, kept))
    (kept_link,) = filter(None, links[kept])
    held = in_vault(kept_link)

    clock.write_text("90000")  # a day and an hour
    with serving(tmp_path, stores, ORGANIZATIONS) as partner:
        assert partner.people() == knew
        connect(partner)
        looked = finding.find_providers("bwell")
        assert (looked.people, looked.new, looked.failed) == (2, 0, 0)
        second = report(Night("second").run())
        assert {one.code for one in second.outcomes} <= {"CH405"}, "nothing is missing, and nobody unknown"
        assert (second.status, second.links.complete) == ("complete", 1)
        assert in_vault(kept_link) == held
        assert {name: said["searches"] for name, said in partner.people().items()} == dict.fromkeys((kept, gone), 1)
    with session(read_only=True) as state:
        assert {key: [one.link_id for one in found_providers.list_found(state, key)] for key in (kept, gone)} == links
        assert len(list_notices(state, kept)) == notices, "nothing is told again"
