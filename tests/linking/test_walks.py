"""Random lives of links: whatever happens, in whatever order, a link is where it should be, and each move is told once.

The expectations are written by hand here, from docs/state.md, and share no table with the code.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from charthouse.errors import StateError
from charthouse.linking import links, people, providers
from charthouse.linking.keys import ensure_key
from charthouse.settings import get_settings
from charthouse.state import migrate, session
from charthouse.state.models import LinkEvent
from charthouse.state.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIVES = 10_000
STOPPED = "pending confirmed expired failed"
# what happens: (from which states, to which, the reason, what the person is told)
HAPPENS: dict[str, tuple[str, str, str, str | None]] = {
    "records come": ("pending", "confirmed", "records_received", "confirmed"),
    "the grant ends": ("pending confirmed", "expired", "authorization_ended", "expired"),
    "the provider says no": ("pending", "failed", "sign_in_refused", "action_needed"),
    "nobody comes back": ("pending", "failed", "sign_in_abandoned", None),
    "the Patient is closed": ("pending confirmed", "failed", "patient_not_readable", "action_needed"),
    "it is somebody else": ("pending confirmed", "failed", "identity_not_matched", "action_needed"),
    "too long": ("pending", "failed", "not_confirmed_in_time", "action_needed"),
    "another link has it": ("pending", "failed", "same_patient_linked", None),
    "access is removed": (STOPPED, "disconnected", "access_removed", "disconnected"),
    "consent is withdrawn": (STOPPED, "disconnected", "consent_withdrawn", "disconnected"),
    "the provider retires": (STOPPED, "disconnected", "provider_retired", "disconnected"),
    "a minor": (STOPPED, "disconnected", "minor_found", "disconnected"),
    "deletion": (f"{STOPPED} disconnected", "deleted", "deletion_asked", None),
    "sign in again": ("expired failed disconnected", "pending", "signed_in_again", None),
    "access comes back": ("expired", "pending", "access_returned", None),
}
WATCHED = {"expiring": "expiring", "unconfirmed": "not_confirmed"}

life = st.lists(
    st.tuples(st.sampled_from([*HAPPENS, *WATCHED, "refresh", "forged"]), st.booleans()), min_size=1, max_size=8
)


@pytest.fixture(scope="module")
def open_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One transaction of one state database for all lives: a walk costs its statements and nothing else."""
    patch = pytest.MonkeyPatch()
    home: Path = tmp_path_factory.mktemp("walks")
    patch.setenv("CHARTHOUSE_HOME", str(home))
    patch.delenv("CHARTHOUSE_STATE_URL", raising=False)
    get_settings.cache_clear()
    ensure_key()
    migrate()
    with session() as state:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="https://clinic.example/fhir")
        yield state
    patch.undo()
    get_settings.cache_clear()


@settings(
    max_examples=LIVES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=life)
def test_every_life_of_a_link_is_legal_and_told_once(open_state: Any, events: list[tuple[str, bool]]) -> None:
    state = open_state
    person = people.create_person(state).person_key
    link = links.start_link(state, person, "clinic", "direct", patient_id="p").id
    at, confirmed_before, moves = "pending", False, 1
    expected: Counter[str] = Counter()
    for event, tried_twice in events:
        for _ in range(2 if tried_twice else 1):  # a task that is killed after its commit is run again
            if event in WATCHED:
                links.note_watch(state, link, event, event, kind=WATCHED[event])  # type: ignore[arg-type]
                expected[WATCHED[event]] += 1
                break  # who watches looks for its own event first: tests/linking/test_watch.py
            if event == "refresh":  # in the background, and none of a person's business
                links.set_sync_status(state, link, links.get_link(state, link).sync_status)
                continue
            if event == "forged":
                refused(state, link, "confirmed", "signed_in_again")
                continue
            before, after, reason, kind = HAPPENS[event]
            if at not in before.split():
                refused(state, link, after, reason)
                continue
            links.transition(state, link, after, reason, "sync")  # type: ignore[arg-type]
            at, moves = after, moves + 1
            if after == "confirmed":
                kind = "reconnected" if confirmed_before else "confirmed"
                confirmed_before = True
            if kind is not None:
                expected[kind] += 1
    found = links.get_link(state, link)
    assert found.status == at
    assert (found.failed_reason is not None) == (at == "failed")
    steps = state.execute(
        select(LinkEvent.from_state, LinkEvent.to_state)
        .where(LinkEvent.link_id == link, LinkEvent.field == "status")
        .order_by(LinkEvent.id)
    ).all()
    assert len(steps) == moves
    assert all(step[0] == before[1] for before, step in pairwise(steps)), "no gap between moves"
    told = state.execute(select(Notice.kind, func.count()).where(Notice.link_id == link).group_by(Notice.kind)).all()
    assert dict(tuple(row) for row in told) == dict(expected)
    state.expunge_all()


def refused(state: Any, link: str, to: Any, reason: str) -> None:
    """The move is refused; that it left no trace is seen at the end, when all moves are counted."""
    with pytest.raises(StateError, match="CH601"):
        links.transition(state, link, to, reason, "sync")
