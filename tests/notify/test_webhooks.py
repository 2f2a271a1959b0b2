"""The app's push service: signed, once each, and patient with a receiver that is not well."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from charthouse.clock import now
from charthouse.linking import credentials
from charthouse.notify import outbox, preferences, secrets, unsubscribing
from charthouse.notify.channels.outcomes import BLOWN_AFTER
from charthouse.notify.schedule import RETRY_AFTER
from charthouse.partners.token_endpoint import TokenSet
from charthouse.settings import get_settings
from charthouse.state import session

DAY = 86_400


def test_a_webhook_is_signed_and_says_nothing_of_provider_or_record(receiver, tell, link, drained, states):
    tell("expired", link_id=link, reason="authorization_ended")
    report = drained()
    assert (report.planned, dict(report.counts)) == (1, {("push", "sent"): 1})
    assert receiver.forged == 0
    [body] = receiver.told
    assert body["type"] == "notice.expired"
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert body["data"]["link_id"] == link
    assert body["data"]["title"] == "Please sign in again to get new records"
    assert "linic" not in str(body)
    assert states() == [("expired", "push", "sent", None)]
    assert drained().counts == {}


def test_the_provider_is_named_where_the_person_chose_that(receiver, tell, link, person, drained):
    with session() as state:
        preferences.set_preferences(state, person, provider_in_push=True)
    tell("expired", link_id=link)
    drained()
    assert receiver.told[0]["data"]["text"].startswith("Your connection to Clinic has ended.")
    assert receiver.told[0]["data"]["provider"] == "Clinic"
    assert "Clinic" not in receiver.told[0]["data"]["title"]


def test_while_a_secret_rotates_both_sign_and_then_the_new_one_alone(receiver, tell, drained, clock):
    old = receiver.secret
    with session() as state:
        new = secrets.rotate(state, overlap=timedelta(hours=1)).text
    assert new != old
    for secret in (old, new):
        receiver.secret = secret
        tell("confirmed")
        assert drained().count("sent") == 1
    assert len(receiver.calls[0]["headers"]["webhook-signature"].split()) == 2
    clock(3700)
    receiver.secret = ""  # its clock is not moved
    tell("confirmed")
    drained()
    call = receiver.calls[-1]
    at = datetime.fromtimestamp(int(call["headers"]["webhook-timestamp"]), UTC)
    assert call["headers"]["webhook-signature"] == Webhook(new).sign(
        call["headers"]["webhook-id"], at, call["raw"].decode()
    )


def test_a_receiver_that_is_down_for_a_day_misses_nothing_and_gets_nothing_twice(
    receiver, tell, drained, clock, states
):
    receiver.secret, receiver.answer = "", 503
    for _ in range(3):
        tell("confirmed")
    first = drained()
    assert first.counts == {("push", "again"): 3}
    assert states()[0] == ("confirmed", "push", "waiting", "CH711")
    for minutes in range(10, 24 * 60, 240):
        clock(minutes * 60)
        drained()
    assert receiver.told == []
    receiver.answer = 200
    clock(2 * DAY)
    assert drained().counts == {("push", "sent"): 3}
    assert len(receiver.told) == 3
    assert set(receiver.seen.values()) == {1}
    ids = {call["headers"]["webhook-id"] for call in receiver.calls}
    assert len(ids) == 3, "an id stays the same over all tries"


def test_what_failed_for_days_is_given_up_shown_and_sent_again_when_asked(receiver, tell, drained, clock, states):
    receiver.secret, receiver.answer = "", 500
    tell("export_ready")
    seconds = 0.0
    for wait in (timedelta(0), *RETRY_AFTER):
        seconds += wait.total_seconds() * 1.11
        clock(seconds)
        assert len(drained().counts) == 1
    assert len(receiver.calls) == len(RETRY_AFTER) + 1
    assert seconds > 3 * DAY
    assert states() == [("export_ready", "push", "undeliverable", "CH711")]
    clock(seconds + DAY)
    assert drained().counts == {}
    with session() as state:
        [notice] = outbox.list_notices(state, status="undeliverable")
        assert outbox.retry(state, notice.notice_id) == 1
        assert outbox.list_notices(state, status="undeliverable") == []
    receiver.answer = 204
    clock(seconds + 9 * DAY)
    assert drained().counts == {("push", "sent"): 1}


@pytest.mark.parametrize(
    ("status", "result", "code"),
    [
        (204, "sent", None),
        (202, "sent", None),
        (302, "waiting", "CH714"),
        (400, "undeliverable", "CH712"),
        (401, "waiting", "CH712"),
        (404, "waiting", "CH712"),
        (410, "undeliverable", "CH713"),
        (422, "undeliverable", "CH712"),
        (429, "waiting", "CH711"),
        (500, "waiting", "CH711"),
    ],
)
def test_each_answer_means_what_it_says(receiver, tell, drained, states, status, result, code):
    receiver.answer = status
    receiver.headers = {"Location": "http://elsewhere.example/"}
    tell("confirmed")
    drained()
    assert states() == [("confirmed", "push", result, code)]
    assert len(receiver.calls) == 1


def test_a_receiver_that_names_a_time_is_left_alone_so_long(receiver, tell, drained, clock, person):
    receiver.secret, receiver.answer, receiver.headers = "", 429, {"Retry-After": "7200"}
    tell("confirmed")
    drained()
    with session(read_only=True) as state:
        way = outbox.list_notices(state, person)[0].deliveries[0]
    assert way.next_try_at - datetime.now(UTC) > timedelta(minutes=119)
    clock(7000)
    assert drained().counts == {}
    receiver.answer = 204
    clock(7300)
    assert drained().counts == {("push", "sent"): 1}


def test_a_receiver_found_down_is_spared_and_what_was_not_tried_loses_no_try(receiver, tell, drained, clock, person):
    receiver.secret, receiver.answer = "", 503
    for _ in range(60):
        tell("confirmed")
    report = drained()
    threads = get_settings().notice_threads
    assert BLOWN_AFTER <= report.counts["push", "again"] <= BLOWN_AFTER + threads
    assert report.counts["push", "again"] + report.counts["push", "later"] == 60
    with session(read_only=True) as state:
        ways = [way for notice in outbox.list_notices(state, person, limit=100) for way in notice.deliveries]
    assert sorted({way.tries for way in ways}) == [0, 1]
    receiver.answer = 204
    clock(3600)
    assert drained().counts == {("push", "sent"): 60}
    assert set(receiver.seen.values()) == {1}


def test_a_receiver_that_takes_its_time_is_waited_for(receiver, tell, drained):
    receiver.delay = 0.7  # longer than outcomes wait to be noted together
    for _ in range(3):
        tell("confirmed")
    assert drained().counts == {("push", "sent"): 3}
    assert set(receiver.seen.values()) == {1}


def test_silence_slowness_and_endless_answers_end(configure, receiver, tell, drained, states):
    receiver.delay = 0.5
    configure(notice_timeout=0.1)
    tell("confirmed")
    drained()
    assert states() == [("confirmed", "push", "waiting", "CH710")]
    receiver.delay, receiver.body, receiver.answer = 0, b"x" * 2**20, 200
    tell("expired")
    configure(notice_timeout=5)
    drained()
    assert ("expired", "push", "sent", None) in states()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        configure(webhook_url=f"http://127.0.0.1:{taken.getsockname()[1]}/")
        tell("erased")
        drained()
    assert ("erased", "push", "waiting", "CH710") in states()


def test_who_left_is_not_told_whenever_they_left(receiver, tell, drained, states, person):
    with session() as state:
        token = unsubscribing.unsubscribe_token(state, person, "push", "confirmed")
        unsubscribing.apply_unsubscribe(state, token)
    tell("confirmed")
    tell("expired")
    assert drained(limit=0).planned == 2
    with session() as state:
        unsubscribing.apply_unsubscribe(state, unsubscribing.unsubscribe_token(state, person, "push", "expired"))
    drained()
    assert receiver.calls == []
    assert states() == [("confirmed", "push", "suppressed", None), ("expired", "push", "suppressed", None)]


def test_a_late_notice_that_is_no_longer_so_is_not_told(receiver, tell, drained, clock, link, states):
    receiver.secret = ""
    tell("expiring", link_id=link)
    drained(limit=0)
    clock(2 * 3600)
    tell("reconnected", link_id=link)
    drained()
    assert [body["type"] for body in receiver.told] == ["notice.reconnected"]
    assert ("expiring", "push", "suppressed", None) in states()
    tell("export_ready")
    clock(20 * DAY)
    drained()
    assert ("export_ready", "push", "undeliverable", "CH722") in states()


@pytest.mark.parametrize("kind", ["expiring", "expired", "action_needed", "disconnected"])
def test_nobody_is_asked_in_the_morning_for_a_sign_in_that_they_made_at_night(
    receiver, tell, drained, clock, link, states, person, kind
):
    """Signing in again tells nothing until records come: the quiet hours may end before."""
    begins, ends = (at.time().replace(microsecond=0) for at in (now() - timedelta(hours=1), now() + timedelta(hours=8)))
    with session() as state:
        preferences.set_preferences(state, person, quiet_from=begins, quiet_until=ends)
    tell(kind, link_id=link)
    drained()
    clock(2 * 3600)
    with session() as state:
        credentials.store_tokens(state, link, TokenSet("access", None, None, None, None))
    clock(9 * 3600)
    drained()
    assert (receiver.told, states()) == ([], [(kind, "push", "suppressed", None)])


def test_a_link_to_leave_works_twice_and_a_damaged_one_not_at_all(home, person):
    from charthouse.errors import NoticeError

    with session() as state:
        token = unsubscribing.unsubscribe_token(state, person, "email", "expiring")
        for _ in range(2):
            assert unsubscribing.apply_unsubscribe(state, token) == unsubscribing.Leaving("email", "expiring")
        assert preferences.get_preferences(state, person).unsubscribed == {("email", "expiring")}
        for bad in (token[:-2], token[1:], "A" + token[1:], token + "AA", "", "é", "....", "A" * 5000):
            with pytest.raises(NoticeError, match="CH704"):
                unsubscribing.apply_unsubscribe(state, bad)
    assert person not in token
