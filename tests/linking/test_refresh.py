"""The refresh: each due link once, nothing lost, and nobody expired for what is not their grant's end."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import timedelta

import pytest

from charthouse.clock import now
from charthouse.linking import alarms, credentials, links, providers
from charthouse.linking.credentials import Tokens
from charthouse.linking.refresh import plan_refresh, refresh_batch, refresh_provider
from charthouse.linking.registrations import set_registration
from charthouse.linking.watch import watch_links
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.linking import GrantEnd
from charthouse.state.locks import exclusive
from charthouse.state.models import Credential
from charthouse.state.notices import Notice

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def statuses() -> Counter[str]:
    with session(read_only=True) as state:
        return Counter(links.count_by_status(state))


def told() -> Counter[str]:
    with session(read_only=True) as state:
        return Counter(notice.kind for notice in state.query(Notice))


def held(link: str) -> Credential:
    with session(read_only=True) as state:
        return state.get(Credential, link)


def tokens_of(link: str) -> tuple[str | None, str | None]:
    with session(read_only=True) as state:
        return credentials.read_tokens(state, link)


def test_links_that_are_due_are_renewed_once_and_wait_then(server, signed_in, clock):
    made = {f"g{number}": signed_in(f"g{number}") for number in range(40)}
    assert plan_refresh() == []
    clock(HOUR + timedelta(minutes=1))
    assert plan_refresh() == ["portal"]
    report = refresh_provider("portal")
    assert (report.renewed, report.expired, report.left) == (40, 0, 0)
    assert server.asked == dict.fromkeys(made, 1)
    assert all(tokens_of(link) == (f"access-canary.{name}.1", f"{name}.1") for name, link in made.items())
    assert plan_refresh() == []
    assert refresh_provider("portal").renewed == 0
    assert told() == Counter(confirmed=40), "a refresh tells nobody"
    assert now() + timedelta(minutes=59) <= held(made["g0"]).next_refresh_at <= now() + DAY


def test_two_batches_at_once_ask_for_each_link_once(server, signed_in, at_once, clock):
    made = [signed_in(f"g{number}") for number in range(12)]
    clock(2 * HOUR)
    said = at_once(*[("refresh_due", *made)] * 3)
    assert sum(answer["did"] for answer in said) == 12
    assert server.asked == {f"g{number}": 1 for number in range(12)}


def test_a_link_that_another_process_renews_is_left_to_it(server, signed_in):
    mine, other = signed_in("mine"), signed_in("other")
    with exclusive(f"credential of link {other}"):
        report = refresh_batch([mine, other])
    assert report.renewed == 1
    assert "other" not in server.asked


@pytest.mark.crash
@pytest.mark.parametrize("point", ["credentials.marked", "credentials.renewed", "credentials.kept"])
def test_a_refresh_that_is_killed_loses_no_link(server, signed_in, at_once, clock, point):
    made = [signed_in(f"g{number}") for number in range(6)]
    clock(2 * HOUR)
    assert at_once(("refresh", *made), crash_at=point) == [{"killed": signal.SIGKILL}]
    assert statuses() == {"confirmed": 6}
    assert at_once(("refresh", *made))[0]["did"] >= 5
    assert statuses() == {"confirmed": 6}
    assert all(tokens_of(link)[1] == f"g{number}.{server.turn[f'g{number}']}" for number, link in enumerate(made))
    with session(read_only=True) as state:
        assert credentials.in_doubt(state) == []


def test_an_answer_that_is_lost_is_asked_for_again_within_the_grace(server, signed_in):
    link = signed_in("g")
    server.lost = 1
    assert refresh_batch([link]).renewed == 1
    assert (server.asked["g"], server.turn["g"]) == (2, 1)
    assert tokens_of(link)[1] == "g.1"
    server.lost = 2
    report = refresh_batch([link])
    assert (report.renewed, report.codes) == (0, {"CH101": 1})
    assert refresh_batch([link]).renewed == 1
    assert tokens_of(link)[1] == "g.2"


def test_an_ended_grant_expires_its_link_and_tells_its_person_once(server, signed_in, clock):
    link, other = signed_in("g"), signed_in("other")
    server.ended["g"] = (400, "invalid_grant")
    clock(7 * DAY)
    report = refresh_provider("portal")
    assert (report.renewed, report.expired) == (1, 1)
    assert statuses() == {"confirmed": 1, "expired": 1}
    assert refresh_batch([link, other]).expired == 0
    assert told() == Counter(confirmed=2, expired=1)
    with session(read_only=True) as state:
        [end] = state.query(GrantEnd)
    assert timedelta(days=3) < timedelta(seconds=end.age_seconds) < 7 * DAY, "between its last sign of life and now"


def test_an_ended_grant_is_tried_once_a_day_and_may_come_back(server, signed_in, clock):
    link = signed_in("g")
    server.ended["g"] = (400, "invalid_grant")
    refresh_batch([link])
    clock(12 * HOUR)
    assert plan_refresh() == []
    clock(25 * HOUR)
    assert plan_refresh() == ["portal"]
    server.ended.clear()
    assert refresh_provider("portal").returned == 1
    with session(read_only=True) as state:
        assert [event.reason for event in links.list_events(state, link)][-1] == "access_returned"
    assert statuses() == {"pending": 1}
    with session() as state:
        links.transition(state, link, "confirmed", "records_received", "sync")
    assert told() == Counter(confirmed=1, expired=1, reconnected=1)


def test_tokens_of_a_link_that_is_long_over_are_deleted(server, signed_in, clock):
    link = signed_in("g")
    server.ended["g"] = (400, "invalid_grant")
    refresh_batch([link])
    clock(29 * DAY)
    assert watch_links().forgotten == 0
    clock(31 * DAY)
    assert watch_links().forgotten == 1
    assert held(link) is None
    assert statuses() == {"expired": 1}


@pytest.mark.parametrize(
    ("error", "code"),
    [((503, "temporarily_unavailable"), "CH109"), ((500, "server_error"), "CH109"), ((400, "server_error"), "CH109")],
)
def test_an_outage_expires_nobody_and_ends_early(server, signed_in, clock, monkeypatch, error, code):
    monkeypatch.setenv("CHARTHOUSE_REQUEST_TRIES", "1")
    monkeypatch.setenv("CHARTHOUSE_REFRESH_THREADS", "1")
    get_settings.cache_clear()
    for number in range(12):
        signed_in(f"g{number}")
    clock(2 * HOUR)
    server.error = error
    report = refresh_provider("portal")
    assert report.codes == {code: 5}, "the other seven were spared"
    assert statuses() == {"confirmed": 12}
    server.error = None
    clock(3 * HOUR + timedelta(minutes=1))
    assert refresh_provider("portal").renewed == 12


def test_a_provider_that_is_gone_expires_nobody(server, signed_in, clock):
    signed_in("g")
    clock(2 * HOUR)
    server.server.shutdown()
    server.server.server_close()
    report = refresh_provider("portal")
    assert (report.left, report.renewed) == (1, 0)
    assert statuses() == {"confirmed": 1}
    assert plan_refresh() == [], "until the next hour"


def open_codes() -> list[tuple[str, str, int]]:
    with session(read_only=True) as state:
        return [(alarm.code, alarm.subject, alarm.count) for alarm in alarms.open_alarms(state)]


def test_a_client_that_is_refused_for_all_is_the_operators_matter(server, signed_in, clock):
    with session() as state:
        set_registration(state, "vendor", "our-client")
        providers.get_provider(state, "portal").registration = "vendor"
    for number in range(6):
        signed_in(f"g{number}")
    clock(2 * HOUR)
    server.error = (401, "invalid_client")
    assert refresh_provider("portal").expired == 0
    assert statuses() == {"confirmed": 6}
    assert open_codes() == [("CH646", "vendor", 6)]
    clock(4 * HOUR)
    refresh_provider("portal")
    assert open_codes() == [("CH646", "vendor", 12)]
    server.error = None
    clock(6 * HOUR)
    assert refresh_provider("portal").renewed == 6
    assert open_codes() == []


def test_an_alarm_of_a_provider_that_is_retired_is_over(server, signed_in, clock):
    signed_in("g")
    clock(2 * HOUR)
    server.error = (401, "invalid_client")
    refresh_provider("portal")
    assert open_codes() == [("CH646", "portal", 1)]
    with session() as state:
        providers.retire_provider(state, "portal")
    assert open_codes() == []


def test_a_client_that_is_refused_for_one_link_alone_is_that_links_matter(server, signed_in, clock):
    """athenahealth was seen to answer a spent grant like this."""
    made = [signed_in(f"g{number}") for number in range(3)]
    clock(2 * HOUR)
    server.ended["g1"] = (401, "invalid_client")
    report = refresh_provider("portal")
    assert (report.renewed, report.expired) == (2, 1)
    assert open_codes() == []

    server.ended["g2"] = (401, "invalid_client")
    report = refresh_batch([made[2]])
    assert report.expired == 1, "another link of the registration was asked, and renewed"
    assert server.asked["g0"] == 2
    assert statuses() == {"confirmed": 1, "expired": 2}


def test_a_request_that_is_refused_is_an_alarm_of_its_own(server, signed_in, clock):
    signed_in("g")
    clock(2 * HOUR)
    server.error = (400, "unsupported_grant_type")
    refresh_provider("portal")
    assert open_codes() == [("CH647", "portal", 1)]
    assert statuses() == {"confirmed": 1}


def test_what_the_provider_tells_of_the_end_is_noted(server, signed_in, clock):
    moving, dated, asked = signed_in("moving"), signed_in("dated"), signed_in("asked")
    clock(2 * HOUR)
    server.told = 86400
    refresh_batch([moving])
    first = held(moving)
    assert first.refresh_expires_at == pytest.approx(now() + DAY, abs=timedelta(seconds=5))
    assert first.next_refresh_at < first.refresh_expires_at
    clock(8 * HOUR)
    refresh_batch([moving])
    assert held(moving).told_since > first.told_since, "it moves on"

    server.told = int((60 * DAY).total_seconds())
    refresh_batch([dated])
    since = held(dated).told_since
    clock(32 * HOUR)
    server.told = int((59 * DAY).total_seconds())
    refresh_batch([dated])
    assert held(dated).told_since == since, "it is a date, and was told twice"

    server.told, server.introspects = None, 3 * 86400
    refresh_batch([asked])
    assert held(asked).refresh_expires_at == pytest.approx(now() + 3 * DAY, abs=timedelta(seconds=5))
    assert server.introspected == ["asked.1"]


def test_a_public_client_asks_by_its_id_where_an_access_token_does_not_do(server, signed_in):
    server.introspects, server.takes_bearers = 3 * 86400, False
    link = signed_in("g")
    refresh_batch([link])
    assert held(link).refresh_expires_at == pytest.approx(now() + 3 * DAY, abs=timedelta(seconds=5))


def test_the_lifetime_of_a_provider_is_learnt_and_its_people_are_warned(server, signed_in, clock):
    """Three weeks ago three people's grants ended after a week; the fourth is warned a day before."""
    for number in range(3):
        signed_in(f"g{number}")
    for day in range(1, 7):
        clock(day * DAY)
        refresh_provider("portal")
    clock(7 * DAY)
    server.ended |= {f"g{number}": (400, "invalid_grant") for number in range(3)}
    refresh_provider("portal")
    assert statuses() == {"expired": 3}

    begun = 10 * DAY
    clock(begun)
    link = signed_in("late")
    warned_at = None
    for hour in range(1, 7 * 24):
        clock(begun + hour * HOUR)
        if watch_links().warned:
            assert warned_at is None, "once a grant"
            warned_at = hour
    assert warned_at is not None
    assert 5 * 24 <= warned_at <= 6 * 24
    assert told()["expiring"] == 1
    with session(read_only=True) as state:
        [event] = [event for event in links.list_events(state, link) if event.field == "watch"]
    assert (event.to_state, event.reason) == ("expiring", "grant_ends")


def test_a_fetch_renews_by_the_same_rules(server, signed_in, clock):
    link = signed_in("g", lasts=30)
    clock(timedelta(seconds=20))

    def ask(token: str):
        from charthouse.partners import smart
        from charthouse.partners.client import Client

        return smart.refresh(server.base, token, Client("us"))

    assert Tokens().access_token(link, ask) == "access-canary.g.1"
    assert held(link).next_refresh_at >= now() + timedelta(minutes=59)
