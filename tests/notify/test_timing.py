"""When people are told: quiet hours as clocks on the wall go, one mail a day, and nothing of background refreshes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charthouse.clock import now
from charthouse.linking import links
from charthouse.notify import outbox, preferences
from charthouse.notify.preferences import Preferences
from charthouse.notify.schedule import LONGEST_ASKED, RETRY_AFTER, next_try
from charthouse.state import session

DAY = 86_400
ZONES = sorted(available_timezones() - {"localtime"})
local_times = st.times().map(lambda at: at.replace(second=0, microsecond=0, tzinfo=None, fold=0))
instants = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=600, deadline=None)
@given(at=instants, zone=st.sampled_from(ZONES), begins=local_times, ends=local_times)
def test_quiet_hours_end_when_the_clock_on_the_wall_says_so(at, zone, begins, ends):
    if begins == ends:
        return
    wish = Preferences(time_zone=zone, quiet_from=begins, quiet_until=ends)
    loud = wish.next_loud(at)
    assert loud >= at
    assert not wish.is_quiet(loud)
    assert wish.is_quiet(at) == (loud > at)
    assert loud - at <= timedelta(hours=50)  # where a day was left out (Samoa, 2011) or comes twice
    if loud == at:
        return
    # Quiet up to there, but for the hour that clocks may skip.
    steps = int((loud - at) / timedelta(minutes=15))
    said = [wish.is_quiet(at + timedelta(minutes=15 * step)) for step in range(steps)]
    skipped = {
        (loud - timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset() for hours in (0, 1, 2, 24, 48)
    } | {at.astimezone(ZoneInfo(zone)).utcoffset()}
    assert all(said) or len(skipped) > 1


@settings(max_examples=300, deadline=None)
@given(at=instants, zone=st.sampled_from(ZONES))
def test_there_is_one_daily_mail_a_day_at_eight(at, zone):
    wish = Preferences(time_zone=zone, digest="daily")
    following = wish.next_digest(at)
    assert at < following <= at + timedelta(hours=50)
    local = following.astimezone(ZoneInfo(zone))
    assert local.time() == preferences.DIGEST_AT or local.utcoffset() != (local - timedelta(days=1)).utcoffset()


@pytest.mark.parametrize(
    ("at", "until", "loud"),
    [
        # Clocks in New York go from 02:00 to 03:00 on 8 March 2026, and from 02:00 back to 01:00 on 1 November.
        ("2026-03-08T05:30:00+00:00", time(2, 30), "2026-03-08T07:30:00+00:00"),
        ("2026-03-08T05:30:00+00:00", time(7), "2026-03-08T11:00:00+00:00"),
        ("2026-11-01T04:30:00+00:00", time(7), "2026-11-01T12:00:00+00:00"),
        ("2026-11-01T04:30:00+00:00", time(1, 30), "2026-11-01T05:30:00+00:00"),
        ("2026-11-01T06:10:00+00:00", time(1, 30), "2026-11-01T06:30:00+00:00"),
        ("2026-11-01T05:40:00+00:00", time(1, 30), "2026-11-01T05:40:00+00:00"),
        ("2026-06-01T02:00:00+00:00", time(7), "2026-06-01T11:00:00+00:00"),
        ("2026-06-01T01:59:59+00:00", time(7), "2026-06-01T01:59:59+00:00"),
    ],
)
def test_nights_with_a_change_of_clocks(at, until, loud):
    wish = Preferences(time_zone="America/New_York", quiet_from=time(22), quiet_until=until)
    assert wish.next_loud(datetime.fromisoformat(at)) == datetime.fromisoformat(loud)


def test_waits_grow_over_days_and_a_receiver_cannot_stretch_them_without_end():
    at = now()
    waits = [next_try(tries, at) for tries in range(1, len(RETRY_AFTER) + 1)]
    assert all(wait is not None for wait in waits)
    assert waits == sorted(waits)
    assert sum(RETRY_AFTER, timedelta()) >= timedelta(days=3)
    assert next_try(len(RETRY_AFTER) + 1, at) is None
    assert next_try(1, at, asked=1e9) == at + LONGEST_ASKED


def test_nobody_is_told_at_night_and_everybody_in_the_morning(mails, write, tell, drained, person, clock):
    write()
    local = now().astimezone(ZoneInfo("Asia/Tokyo"))
    begins = (local - timedelta(hours=1)).time().replace(tzinfo=None)
    ends = (local + timedelta(hours=2)).time().replace(tzinfo=None)
    tell("confirmed")  # planned before the person says so …
    drained(limit=0)
    with session() as state:
        preferences.set_preferences(state, person, time_zone="Asia/Tokyo", quiet_from=begins, quiet_until=ends)
    tell("expired")  # … and after
    assert drained().counts == {("email", "later"): 1}
    assert mails.mails == []
    clock(3600)
    assert drained().counts == {}
    clock(2 * 3600 + 60)
    assert drained().counts == {("email", "sent"): 2}


def test_a_day_is_one_mail_and_what_is_urgent_does_not_wait(mails, receiver, write, tell, drained, person, clock, link):
    receiver.secret = ""
    write()
    with session() as state:
        preferences.set_preferences(state, person, digest="daily")
    for kind in ("confirmed", "provider_found", "expired"):
        tell(kind, link_id=link)
    assert drained().counts == {("push", "sent"): 3, ("email", "sent"): 1}
    assert mails.mails[0]["Subject"] == "Please sign in again to get new records"
    clock(DAY)
    tell("erased")  # after eight: with the next day's, if this is later than the first one's hour
    report = drained(limit=2)  # of one person, all are taken up together
    assert report.counts["email", "sent"] == 2
    assert mails.mails[1]["Subject"] == "Your daily summary"
    assert len(mails.mails) == 2
    assert "Your records are connected" in mails.text(1)
    assert "We found a provider of yours" in mails.text(1)
    assert "Stop all mails" in mails.text(1)
    clock(2 * DAY)
    drained()
    assert len(mails.mails) == 3
    assert "Your data was deleted" in mails.text(2)


def test_a_background_refresh_tells_nobody(receiver, mails, write, link, drained, person):
    write()
    with session() as state:
        links.transition(state, link, "confirmed", "records_received", "sync")
    drained()
    with session() as state:
        before = {notice.notice_id for notice in outbox.list_notices(state, person)}
        for status in ("waiting", "running", "complete"):
            links.set_sync_status(state, link, status)
    drained()
    with session(read_only=True) as state:
        assert {notice.notice_id for notice in outbox.list_notices(state, person)} == before
