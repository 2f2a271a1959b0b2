"""What is expected of grants: only what was told or has happened, and a warning that comes in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as some

from charthouse.linking.expiry import TICK, End, ends_at, lifetime, next_look, warn_now, warning_lead

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
ages = some.lists(some.timedeltas(timedelta(minutes=10), timedelta(days=800)), max_size=40)


def test_a_week_is_learnt_from_three_ends_though_somebody_left_early():
    assert lifetime([7 * DAY, 7 * DAY + HOUR]) is None, "two ends are no rule"
    assert lifetime([7 * DAY, 7 * DAY + HOUR, 7 * DAY + 3 * HOUR]) == 7 * DAY
    assert lifetime([2 * DAY, 7 * DAY, 7 * DAY + HOUR, 7 * DAY + 3 * HOUR]) == 7 * DAY
    assert lifetime([DAY, 9 * DAY, 40 * DAY, 200 * DAY]) is None, "people who left when they liked"
    assert lifetime([7 * DAY] * 3, alive=[30 * DAY] * 10) is None, "three chose a week, the others did not"
    assert lifetime([7 * DAY] * 3, alive=[DAY] * 10) == 7 * DAY, "the young ones say nothing yet"


@given(ages, ages)
def test_a_lifetime_is_one_that_happened_at_least_three_times(ended, alive):
    learnt = lifetime(ended, alive)
    if learnt is not None:
        assert learnt in ended
        assert sum(age >= learnt for age in ended) >= 3
        assert lifetime([*ended, *([learnt] * 5)], alive) is not None, "more of the same agrees"
    assert lifetime(list(reversed(ended)), alive) == learnt


@given(ages, ages)
def test_nothing_is_expected_of_whom_most_outlived(ended, alive):
    assert lifetime(ended, [*alive, *([timedelta(days=5000)] * len(ended))]) is None


@given(some.timedeltas(timedelta(minutes=1), timedelta(days=800)), some.timedeltas(timedelta(0), TICK))
def test_one_hourly_look_warns_the_lead_ahead_and_none_after_the_end(life, offset):
    end = End(START + life, life)
    lead = warning_lead(life)
    looks = [START + offset + number * TICK for number in range(int(life / TICK) + 3)]
    warned = [look for look in looks if warn_now(end, look)]
    if lead is None:
        assert warned == []
        return
    first = warned[0]
    assert lead <= end.at - first <= lead + TICK or first == looks[0]
    assert all(look < end.at for look in warned)


def test_leads_are_sensible():
    assert [warning_lead(life * DAY) for life in (365, 90, 28, 7, 5, 1)] == [7 * DAY] * 3 + [DAY] * 2 + [HOUR]
    assert warning_lead(10 * HOUR) is None


def test_an_end_is_told_or_learnt_and_never_assumed():
    assert ends_at(START, None, None, None) is None
    assert ends_at(None, None, None, 7 * DAY) is None, "nobody knows when it began"
    assert ends_at(START, None, None, 7 * DAY) == End(START + 7 * DAY, 7 * DAY)
    assert ends_at(START, START + 90 * DAY, START, 7 * DAY) == End(START + 7 * DAY, 7 * DAY)
    moving = ends_at(START, START + 31 * DAY, START + 30 * DAY, None)
    assert moving == End(START + 31 * DAY, DAY), "a token of a day that is renewed has a life of a day"
    assert ends_at(START, START + 90 * DAY, None, None) is None, "told of a token that has been replaced"


@given(
    some.timedeltas(timedelta(0), timedelta(days=400)),
    some.none() | some.timedeltas(timedelta(minutes=-10), timedelta(days=400)),
)
def test_the_next_look_is_within_a_day_and_not_at_once(age, left):
    now = START + age
    look = next_look(now, START, None if left is None else now + left)
    assert HOUR <= look - now <= DAY
    if left is not None and left > 2 * HOUR:
        assert look < now + left, "a token that runs out unused is used before"
