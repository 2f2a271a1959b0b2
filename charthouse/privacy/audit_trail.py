"""The audit trail as a whole: whether it holds, and what it says.

The trail is walked once, in the order of its numbers, whatever its length: memory does not grow with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import or_, select

from charthouse.errors import PrivacyError
from charthouse.settings import Settings, get_settings
from charthouse.state import anchors, audit, session
from charthouse.state.models import AuditEvent, Link
from charthouse.state.privacy import PrivacyRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from charthouse.state.anchors import Anchors

Fault = Literal["changed", "subject changed", "taken out", "moved", "put in", "cut off", "made anew"]

AT_ONCE: Final = 1000
FAR: Final = 1000
"""How many places away from its own an event is looked for."""
MOST: Final = 50
"""Faults that are told one by one; the others are counted."""
_COLUMNS: Final = AuditEvent.__table__.columns


@dataclass(frozen=True, slots=True)
class Break:
    """Where the trail does not hold: what befell the events from `first` to `last`."""

    fault: Fault
    first: int
    last: int

    def __str__(self) -> str:
        """In words."""
        events = f"event {self.first}" if self.first == self.last else f"events {self.first} to {self.last}"
        return f"{events}: {self.fault}"


@dataclass(slots=True)
class Verdict:
    """What a walk along the trail found. `anchored` is the last event that an anchor vouches for."""

    events: int = 0
    end: tuple[int, str] = (0, "")
    anchored: int = 0
    anchors: int = 0
    breaks: list[Break] = field(default_factory=list)
    more: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.breaks

    def found(self, fault: Fault, first: int, last: int | None = None) -> None:
        """Note a break."""
        if len(self.breaks) < MOST:
            self.breaks.append(Break(fault, first, first if last is None else last))
        else:
            self.more += 1


def verify(*, head: tuple[int, str] | None = None, settings: Settings | None = None) -> Verdict:
    """Walk along the trail. `head` is an end that somebody noted elsewhere: its number and digest.

    Events that are written meanwhile do no harm: the anchors are read first, and the walk sees one state.
    """
    settings = settings or get_settings()
    noted = anchors.read(settings.audit_anchors)
    if head is not None:
        noted.digests[head[0]] = head[1]
    with session(settings, read_only=True) as state:
        walk = _Walk(noted)
        for row in _rows(state, select(*_COLUMNS).order_by(AuditEvent.id)):
            walk.step(row)
        return walk.end()


def require(verdict: Verdict) -> None:
    """Make a broken trail an error.

    Raises:
        PrivacyError: CH950 when it does not hold; its text locates the first break.
    """
    if not verdict.holds:
        raise PrivacyError("CH950", where=str(verdict.breaks[0]))


class _Walk:
    """The trail so far. An event's place is the number that its digest was made with, found where it was renumbered."""

    def __init__(self, noted: Anchors) -> None:
        self._noted = noted
        self._said = Verdict(anchors=len(noted.digests))
        self._place = 0
        self._digest = ""
        self._shift = 0
        self._doubtful: Mapping[str, Any] | None = None
        self._matched = 0
        self._anew: tuple[int, int] | None = None

    def step(self, row: Mapping[str, Any]) -> None:
        """Take the next event."""
        self._said.events += 1
        self._said.end = (row["id"], row["digest"])
        if not _fits_subject(row):
            self._said.found("subject changed", row["id"])
        if self._doubtful is not None:
            self._judge(self._doubtful, row["previous"])
        place = self._place_of(row)
        if place is None:
            self._doubtful = row
            return
        if place > self._place + 1:
            self._said.found("taken out", self._place + 1, place - 1)
        elif place <= self._place:
            self._out_of_place(row, place)
            return
        elif row["previous"] != self._digest:
            # Both fit themselves and stand side by side, and yet one does not follow the other.
            self._said.found("changed", self._place or place)
        self._go_on(place, row["digest"])
        self._shift = row["id"] - place

    def end(self) -> Verdict:
        """What was found."""
        if self._doubtful is not None:
            self._judge(self._doubtful, None)
        if self._anew is not None and not self._said.breaks:
            self._said.found("made anew", *self._anew)
        last = self._noted.last
        if last > self._place:
            self._said.found("cut off", self._place + 1, last)
        self._said.anchored = self._matched
        self._tidy()
        return self._said

    def _go_on(self, place: int, digest: str) -> None:
        self._place, self._digest = place, digest
        noted = self._noted.digests.get(place)
        if noted == digest:
            self._matched = place
        elif noted is not None:
            self._anew = self._anew or (self._matched + 1, place)

    def _judge(self, row: Mapping[str, Any], next_previous: str | None) -> None:
        """Decide on an event whose content does not fit its digest, by what the one after it follows."""
        self._doubtful = None
        place = row["id"] - self._shift
        if next_previous is not None and next_previous == self._digest:
            self._said.found("put in", row["id"])
            return
        if place > self._place + 1:
            self._said.found("taken out", self._place + 1, place - 1)
        follows = row["previous"] == self._digest
        self._said.found("changed" if next_previous is not None or follows else "put in", row["id"])
        self._go_on(place, next_previous if next_previous is not None else row["digest"])

    def _out_of_place(self, row: Mapping[str, Any], place: int) -> None:
        missing = [broken for broken in self._said.breaks if broken.fault == "taken out"]
        away = next((broken for broken in missing if broken.first <= place <= broken.last), None)
        self._said.found("put in" if away is None else "moved", row["id"] if away is None else place)

    def _place_of(self, row: Mapping[str, Any]) -> int | None:
        """The number that the event's digest was made with; None where there is none near its own."""
        likely: int = row["id"] - self._shift
        if audit.digest_of(row, likely) == row["digest"]:
            return likely
        for away in range(1, FAR):
            for place in (likely - away, likely + away):
                if place > 0 and audit.digest_of(row, place) == row["digest"]:
                    return place
        return None

    def _tidy(self) -> None:
        """An event that stands elsewhere is not told as taken out as well."""
        moved = {broken.first for broken in self._said.breaks if broken.fault == "moved"}
        self._said.breaks = [
            broken
            for broken in self._said.breaks
            if not (broken.fault == "taken out" and set(range(broken.first, broken.last + 1)) <= moved)
        ]


def events(
    *,
    person: str | None = None,
    link: str | None = None,
    since: datetime | None = None,
    action: str | None = None,
    settings: Settings | None = None,
) -> Iterator[dict[str, Any]]:
    """What the trail says, oldest first, narrowed by what is given.

    With a person, what concerns them, their links and their requests; `action` is a whole word or its beginning
    (`export` for `export.asked`).
    """
    query = select(*_COLUMNS).order_by(AuditEvent.id)
    if person is not None:
        links = select(Link.id).where(Link.person_key == person)
        asked = select(PrivacyRequest.id).where(PrivacyRequest.person_key == person)
        query = query.where(
            or_(
                (AuditEvent.subject_kind == "person") & (AuditEvent.subject_id == person),
                (AuditEvent.subject_kind == "link") & AuditEvent.subject_id.in_(links),
                (AuditEvent.subject_kind == "request") & AuditEvent.subject_id.in_(asked),
            )
        )
    if link is not None:
        query = query.where(AuditEvent.subject_kind == "link", AuditEvent.subject_id == link)
    if since is not None:
        query = query.where(AuditEvent.at >= since)
    if action is not None:
        query = query.where(
            or_(AuditEvent.action == action, AuditEvent.action.startswith(f"{action}.", autoescape=True))
        )
    shown = ("id", "at", "actor", "action", "subject_kind", "subject_id", "detail")
    with session(settings, read_only=True) as state:
        for row in _rows(state, query):
            yield {name: row[name] for name in shown}


def _rows(state: Session, query: Select[Any]) -> Iterator[Mapping[str, Any]]:
    found = state.execute(query.execution_options(stream_results=True, yield_per=AT_ONCE))
    for row in found:
        yield dict(row._mapping)


def _fits_subject(row: Mapping[str, Any]) -> bool:
    """Whether whom the event is about is what was noted; an erasure empties the subject and its salt together."""
    if row["salt"] is None or row["subject_id"] is None:
        return row["salt"] is None and row["subject_id"] is None
    said = audit.subject_digest(row["salt"], row["subject_kind"], row["subject_id"])
    return bool(said == row["subject_digest"])
