"""Drains that are killed, and several at once: nothing is lost, and nothing told twice to who knows ids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charthouse.notify import outbox
from charthouse.notify.drain import UNNOTED
from charthouse.state import session

DRAINER = Path(__file__).with_name("drainer.py")
MANY = 400


def start(**env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DRAINER)],
        env={**os.environ, **env},
        cwd=DRAINER.parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def many(person: str) -> int:
    with session() as state:
        for number in range(MANY):
            outbox.tell(state, person, "confirmed", dedupe=f"many:{number}")
    return MANY


def statuses(person: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    with session(read_only=True) as state:
        for notice in outbox.list_notices(state, person, limit=MANY + 1):
            for way in notice.deliveries:
                counts[way.status] = counts.get(way.status, 0) + 1
    return counts


@pytest.mark.crash
@pytest.mark.parametrize("point", ["notices.claimed", "notices.sent"])
def test_a_drain_that_dies_leaves_nothing_undone_and_nothing_doubled(point, many, receiver, clock, drained, person):
    receiver.secret = ""
    dead = start(CHARTHOUSE_CRASH_AT=point)
    dead.communicate(timeout=60)
    assert dead.returncode == -signal.SIGKILL
    sent_before = len(receiver.calls)
    assert (sent_before > 0) == (point == "notices.sent")
    assert drained().counts == {}, "while the lease lasts, what was taken up is nobody else's"
    clock(3600)
    assert drained().count("sent") == MANY
    assert len(receiver.told) == MANY, "a receiver that knows ids counts each once"
    assert statuses(person) == {"sent": MANY}


@pytest.mark.crash
def test_a_drain_killed_at_any_moment_repeats_no_more_than_it_had_not_noted(
    many, receiver, clock, drained, person, configure
):
    receiver.secret, receiver.delay = "", 0.005
    dead = start()
    while len(receiver.calls) < MANY // 2 and dead.poll() is None:
        time.sleep(0.001)
    dead.kill()
    dead.wait()
    time.sleep(0.1)
    first = len(receiver.calls)
    assert MANY // 2 <= first < MANY
    receiver.delay = 0
    clock(3600)
    drained()
    assert len(receiver.told) == MANY
    assert statuses(person) == {"sent": MANY}
    again = sum(number - 1 for number in receiver.seen.values())
    assert again <= UNNOTED


@pytest.mark.crash
def test_a_drain_that_is_asked_to_stop_notes_what_it_sent(many, receiver, drained, person):
    receiver.secret, receiver.delay = "", 0.01
    stopped = start()
    while len(receiver.calls) < 60 and stopped.poll() is None:
        time.sleep(0.001)
    stopped.send_signal(signal.SIGINT)
    stopped.wait(timeout=60)
    assert 0 < statuses(person)["sent"] < MANY
    assert "sending" not in statuses(person)
    receiver.delay = 0
    drained()
    assert statuses(person) == {"sent": MANY}
    assert set(receiver.seen.values()) == {1}


def test_several_drains_at_once_send_each_once(many, receiver, person):
    running = [start() for _ in range(3)]
    said = [int(process.communicate(timeout=120)[0]) for process in running]
    assert sum(said) == MANY
    assert set(receiver.seen.values()) == {1}
    assert statuses(person) == {"sent": MANY}
