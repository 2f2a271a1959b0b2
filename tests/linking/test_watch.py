"""Deadlines: confirmed within a day or told why not, warned once before the end, given up in the end."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from charthouse.clock import now
from charthouse.errors import StateError
from charthouse.linking import alarms, credentials, links, people
from charthouse.linking.disconnect import disconnect
from charthouse.linking.refresh import refresh_batch
from charthouse.linking.watch import watch_links
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.linking import SignIn
from charthouse.state.models import Credential
from charthouse.state.notices import Notice
from charthouse.sync import runs
from tests.conftest import Installation

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def told() -> list[tuple[str, str]]:
    with session(read_only=True) as state:
        return [(notice.kind, notice.reason) for notice in state.query(Notice).order_by(Notice.created_at)]


def status(link: str) -> tuple[str, str | None]:
    with session(read_only=True) as state:
        found = links.get_link(state, link)
        return found.status, found.failed_reason


def every_hour(clock, begin: timedelta, hours: int) -> None:
    for hour in range(hours + 1):
        clock(begin + hour * HOUR)
        watch_links()


@pytest.mark.parametrize(
    ("life", "before"), [(90 * DAY, 7 * DAY), (7 * DAY, DAY), (DAY, HOUR), (timedelta(hours=10), None)]
)
def test_a_grant_whose_end_is_told_is_warned_of_once_and_the_next_one_anew(
    server, signed_in, clock, workers, life, before
):
    link = signed_in("g", told=life)
    lead = before or HOUR
    clock(life - lead - 2 * HOUR)
    assert watch_links().warned == 0
    every_hour(clock, life - lead - HOUR, 4)
    assert told().count(("expiring", "grant_ends")) == (before is not None)
    if before is None:
        return
    with session() as state:  # the person signs in again
        tokens = workers.Issued("access", "again.0", now() + HOUR, refresh_expires_at=now() + life)
        credentials.store_tokens(state, link, tokens)
    begun = life - lead + 3 * HOUR
    every_hour(clock, begun + life - lead - HOUR, 4)
    assert told().count(("expiring", "grant_ends")) == 2
    assert status(link) == ("confirmed", None)


def test_a_grant_without_a_refresh_token_lives_as_long_as_its_access_token(server, signed_in, clock):
    day, hour = signed_in("day", refresh=False, lasts=86400), signed_in("hour", refresh=False, lasts=3600)
    clock(HOUR + timedelta(minutes=1))
    assert watch_links().expired == 1
    assert status(hour) == ("expired", None)
    every_hour(clock, 21 * HOUR, 3)
    assert [kind for kind, _ in told()] == ["confirmed", "confirmed", "expired", "expiring", "expired"]
    assert status(day) == ("expired", None)


def test_a_link_that_is_not_confirmed_within_a_day_is_told_why_once(server, signed_in, clock):
    link = signed_in("g", confirmed=False)
    clock(23 * HOUR)
    assert watch_links().unconfirmed == 0
    clock(25 * HOUR)
    assert watch_links().unconfirmed == 1
    assert watch_links().unconfirmed == 0
    assert told() == [("not_confirmed", "not_planned")]
    assert status(link) == ("pending", None)
    clock(15 * DAY)
    assert watch_links().given_up == 1
    assert told()[1:] == [("action_needed", "not_confirmed_in_time")]
    assert status(link) == ("failed", "not_confirmed_in_time")


@pytest.mark.parametrize(
    ("codes", "fetched", "reason"),
    [
        (["CH109"], 0, "provider_silent"),
        ([], 0, "nothing_readable"),
        (["CH126"], 0, "something_broke"),
    ],
)
def test_the_reason_is_what_the_last_night_met(server, signed_in, clock, codes, fetched, reason):
    link = signed_in("g", confirmed=False)
    with session() as state:
        run = runs.open_or_resume_run(state, "all").id
        runs.plan_links(state, run, [link])
        runs.record_link_results(state, run, {link: "failed" if codes else "complete"})
        runs.record_outcomes(state, run, "b", [runs.Outcome(code, "link", link) for code in codes])
    clock(25 * HOUR)
    watch_links()
    assert told() == [("not_confirmed", reason)]


def test_a_person_who_is_not_compared_yet_is_told_so(server, signed_in, clock):
    link = signed_in("g", confirmed=False)
    with session() as state:
        people.get_person(state, links.get_link(state, link).person_key).sealed_identity = b"sealed"
        assert links.due_links(state) == [], "nobody reads what may be somebody else's"
    clock(25 * HOUR)
    watch_links()
    assert told() == [("not_confirmed", "identity_not_checked")]


def test_a_sign_in_that_nobody_came_back_from_is_closed_quietly(server, home, clock):
    with session() as state:
        person = people.create_person(state).person_key
        left = links.start_link(state, person, "portal", "direct").id
        busy = links.start_link(state, person, "clinic", "direct").id
    clock(59 * timedelta(minutes=1))
    assert watch_links().abandoned == 0
    clock(61 * timedelta(minutes=1))
    with session() as state:
        state.add(SignIn(state_hash="h", link_id=busy, redirect_uri="http://x", scope="", expires_at=now() + HOUR))
    assert watch_links().abandoned == 1
    assert status(left) == ("failed", "sign_in_abandoned")
    assert status(busy) == ("pending", None)
    assert told() == []


def test_a_reconnection_that_is_abandoned_leaves_the_link_as_it_was(server, signed_in, clock, workers):
    link = signed_in("g")
    with session() as state:
        links.transition(state, link, "expired", "authorization_ended", "sync")
        links.transition(state, link, "pending", "signed_in_again", "person")
    clock(2 * HOUR)
    assert watch_links().abandoned == 1
    assert status(link) == ("expired", None)
    assert [kind for kind, _ in told()] == ["confirmed", "expired"], "and nobody is told twice"
    with session() as state:
        links.transition(state, link, "pending", "signed_in_again", "person")
        credentials.store_tokens(state, link, workers.Issued("access", "again.0", now() + HOUR))
    clock(4 * HOUR)
    assert watch_links().abandoned == 0
    assert status(link) == ("pending", None)


def test_access_is_taken_back_at_the_provider_and_here(server, signed_in):
    link = signed_in("g")
    done = disconnect(link)
    assert done.revoked
    assert server.revoked == ["g.0", "access-canary.g"]
    assert status(link) == ("disconnected", None)
    assert told()[-1] == ("disconnected", "access_removed")
    with session(read_only=True) as state:
        assert state.get(Credential, link) is None
    with pytest.raises(StateError, match="CH601"):
        disconnect(link)


def test_tokens_that_are_on_their_way_are_taken_back_as_well(server, signed_in):
    link = signed_in("g")
    asked, go = threading.Event(), threading.Event()
    server.on_the_way = lambda: (asked.set(), go.wait(10))
    with ThreadPoolExecutor() as pool:
        renewal = pool.submit(refresh_batch, [link])
        assert asked.wait(10)
        end = pool.submit(disconnect, link)
        assert not end.done()
        go.set()
        assert renewal.result().renewed == 1
        assert end.result().revoked
    assert server.revoked[0] == "g.1", "the newest refresh token, not the one that was spent"
    assert status(link) == ("disconnected", None)


def test_a_provider_that_takes_back_no_access_tokens_has_been_told(server, signed_in):
    """Access tokens that are signed and kept nowhere run out by themselves (`unsupported_token_type`)."""
    server.revokes_access = False
    done = disconnect(signed_in("g"))
    assert (done.revoked, done.portal_url) == (True, None)
    assert server.revoked == ["g.0"]


def test_access_is_removed_though_the_provider_has_no_place_to_tell_or_is_gone(server, signed_in, home):
    first, second, third = signed_in("a"), signed_in("b"), signed_in("c")
    server.revokes = False
    done = disconnect(first)
    assert (done.revoked, done.portal_url) == (False, f"http://127.0.0.1:{server.port}/manage")
    server.revokes, server.down = True, True
    assert not disconnect(second).revoked
    get_settings().credentials_key.unlink()
    assert not disconnect(third).revoked, "a lost key keeps nobody connected"
    assert Counter(kind for kind, _ in told())["disconnected"] == 3
    with session(read_only=True) as state:
        assert state.query(Credential).count() == 0


def test_an_operator_sees_links_and_alarms_without_a_secret(server, signed_in, home, clock):
    """Through the command line, as an operator does."""
    link = signed_in("g", told=30 * DAY)
    with session() as state:
        alarms.raise_alarm(state, "CH646", "vendor", count=3)
    run = Installation(home, {"CHARTHOUSE_STATE_URL": get_settings().state_url}).run
    shown = run("links", "show", link, "--json").stdout
    assert '"status": "confirmed"' in shown
    assert str((now() + 30 * DAY).date()) in shown
    events = run("links", "events", link).stdout
    assert "records_received" in events
    assert run("links", "sync", link).returncode == 0
    with session(read_only=True) as state:
        assert [work.link_id for work in links.due_links(state, waiting=True)] == [link]
    told = run("links", "disconnect", link).stdout
    assert "revoked at the provider" in told
    doctor = run("doctor").stdout
    assert "CH646" in doctor
    assert "3 times" in doctor
    keys = run("keys", "status").stdout
    assert "credential.sealed_access" in keys
    assert "canary" not in shown + events + told + doctor + keys
