"""The outbox: one notice however often it is told, and none of what did not happen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from charthouse.errors import NoticeError
from charthouse.linking import people
from charthouse.notify import outbox
from charthouse.state import session


@pytest.fixture
def person(home) -> str:
    with session() as state:
        return people.create_person(state).person_key


def test_a_notice_is_told_once_however_often_and_by_however_many(person):
    def tell(_: int) -> bool:
        with session() as state:
            return outbox.tell(state, person, "confirmed", dedupe="link:1")

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(tell, range(24)))
    assert told.count(True) == 1
    with session(read_only=True) as state:
        assert [notice.kind for notice in outbox.list_notices(state)] == ["confirmed"]


def test_what_was_rolled_back_tells_nobody_and_may_be_told_again(person):
    def crash() -> None:
        with session() as state:
            assert outbox.tell(state, person, "expired", dedupe="link:2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    with session() as state:
        assert outbox.list_notices(state) == []
        assert outbox.tell(state, person, "expired", dedupe="link:2")
        assert not outbox.tell(state, person, "expired", dedupe="link:2")


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "weather"},
        {"reason": "Ada Lovelace was born"},
        {"reason": "a\r\nb"},
        {"detail": {"name": "Ada Lovelace"}},
        {"detail": {"lines": ["a"]}},
        {"dedupe": ""},
        {"dedupe": "x" * 300},
    ],
)
def test_a_notice_holds_codes_alone(person, told):
    with session() as state, pytest.raises(NoticeError, match="CH700") as refused:
        outbox.tell(state, person, **({"kind": "confirmed", "dedupe": "link:3"} | told))
    assert "Ada" not in str(refused.value)


def test_pages_of_notices_meet_and_strangers_see_none(person):
    with session() as state:
        other = people.create_person(state).person_key
        for number in range(7):
            outbox.tell(state, person, "provider_found", dedupe=f"found:{number}")
    with session(read_only=True) as state:
        seen, after = [], None
        while page := outbox.list_notices(state, person, after=after, limit=3):
            seen += [notice.notice_id for notice in page]
            after = page[-1].notice_id
        assert len(seen) == len(set(seen)) == 7
        assert outbox.list_notices(state, other) == []
        with pytest.raises(NoticeError, match="CH701"):
            outbox.list_notices(state, other, after=seen[0])
