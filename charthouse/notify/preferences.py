"""How people want to be told: language, quiet hours in their own time zone, a daily digest, kinds they do not want."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import delete, select

from charthouse.errors import NoticeError, StateError
from charthouse.state.models import Person
from charthouse.state.notices import CHANNELS, DIGESTS, NOTICE_KINDS, Preference, Unsubscription

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from charthouse.state.notices import Channel, Digest, NoticeKind

DIGEST_AT: Final = time(8)
"""When the daily mail leaves, in the person's time zone; later where that is a quiet hour."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Preferences:
    """How a person wants to be told. Quiet hours are local and may cross midnight; without both, there are none.

    `unsubscribed` holds pairs of channel and kind.
    """

    language: str = "en"
    time_zone: str = "UTC"
    quiet_from: time | None = None
    quiet_until: time | None = None
    digest: Digest = "none"
    provider_in_push: bool = False
    unsubscribed: frozenset[tuple[Channel, NoticeKind]] = frozenset()

    def wants(self, channel: Channel, kind: NoticeKind) -> bool:
        """Whether the person is to be told this by this channel."""
        return (channel, kind) not in self.unsubscribed

    def is_quiet(self, at: datetime) -> bool:
        """Whether `at` is one of the person's quiet hours, as the clocks on the wall there go."""
        if self.quiet_from is None or self.quiet_until is None:
            return False
        local = at.astimezone(ZoneInfo(self.time_zone)).time()
        if self.quiet_from < self.quiet_until:
            return self.quiet_from <= local < self.quiet_until
        return local >= self.quiet_from or local < self.quiet_until

    def next_loud(self, at: datetime) -> datetime:
        """The first instant from `at` on that is not quiet, in UTC.

        Where clocks are put forward over the end of the quiet hours, they end as late as they would have without; where
        they are put back over it, the hours that come twice are quiet twice.
        """
        if self.quiet_until is None or not self.is_quiet(at):
            return at.astimezone(UTC)
        ends = (end for end in self._instants(at, self.quiet_until) if end > at and not self.is_quiet(end))
        return min(ends, default=at.astimezone(UTC))

    def next_digest(self, at: datetime) -> datetime:
        """When the next daily mail leaves, in UTC; always behind `at`."""
        return self.next_loud(min(each for each in self._instants(at, DIGEST_AT) if each > at))

    def _instants(self, at: datetime, local: time) -> list[datetime]:
        """The instants at which clocks there show `local` on the day of `at` and the two behind it."""
        zone = ZoneInfo(self.time_zone)
        today = at.astimezone(zone).date()
        return [
            datetime.combine(today + timedelta(days=day), local.replace(fold=fold), tzinfo=zone).astimezone(UTC)
            for day in range(3)
            for fold in (0, 1)
        ]


def get_preferences(session: Session, person_key: str) -> Preferences:
    """How a person wants to be told; the defaults where they never said.

    Raises:
        StateError: CH602 when there is no such person.
    """
    if session.get(Person, person_key) is None:
        raise StateError("CH602", where="person")
    return preferences_of(session, [person_key])[person_key]


def preferences_of(session: Session, person_keys: Sequence[str]) -> dict[str, Preferences]:
    """The preferences of many people, in two statements."""
    rows = {row.person_key: row for row in session.scalars(select(Preference).where(_among(Preference, person_keys)))}
    unwanted: dict[str, set[tuple[Channel, NoticeKind]]] = {}
    for row in session.scalars(select(Unsubscription).where(_among(Unsubscription, person_keys))):
        unwanted.setdefault(row.person_key, set()).add((row.channel, row.kind))
    names = [field.name for field in fields(Preferences) if field.name != "unsubscribed"]
    return {
        key: Preferences(
            **({name: getattr(rows[key], name) for name in names} if key in rows else {}),
            unsubscribed=frozenset(unwanted.get(key, ())),
        )
        for key in person_keys
    }


def set_preferences(session: Session, person_key: str, **changes: Any) -> Preferences:
    """Change what is named (fields of `Preferences`), keep the rest.

    Raises:
        StateError: CH602 when there is no such person.
        NoticeError: CH703 for a field or a value that there is not.
    """
    known = {field.name for field in fields(Preferences)}
    if not known.issuperset(changes):
        raise NoticeError("CH703", where="name", what=f"it is one of {', '.join(sorted(known))}")
    before = get_preferences(session, person_key)
    after = {field.name: changes.get(field.name, getattr(before, field.name)) for field in fields(Preferences)}
    _check(after)
    unsubscribed = frozenset(after.pop("unsubscribed"))
    session.merge(Preference(person_key=person_key, **after))
    if unsubscribed != before.unsubscribed:
        session.execute(delete(Unsubscription).where(Unsubscription.person_key == person_key))
        for channel, kind in sorted(unsubscribed):
            session.add(Unsubscription(person_key=person_key, channel=channel, kind=kind))
    session.flush()
    return get_preferences(session, person_key)


def _among(table: type[Preference | Unsubscription], person_keys: Sequence[str]) -> Any:
    return table.person_key.in_(person_keys)


def _check(values: dict[str, Any]) -> None:
    if not isinstance(values["language"], str) or not _LANGUAGE.fullmatch(values["language"][:17]):
        raise NoticeError("CH703", where="language", what="it is a language tag such as en or pt-BR")
    if len(values["language"]) > 16:
        raise NoticeError("CH703", where="language", what="it is a language tag of at most 16 characters")
    if values["time_zone"] not in available_timezones():
        raise NoticeError("CH703", where="time_zone", what="it is a name of the IANA database such as America/New_York")
    hours = (values["quiet_from"], values["quiet_until"])
    if any(hour is not None and (not isinstance(hour, time) or hour.tzinfo is not None) for hour in hours):
        raise NoticeError("CH703", where="quiet_from and quiet_until", what="they are local times")
    if (hours[0] is None) != (hours[1] is None) or (hours[0] is not None and hours[0] == hours[1]):
        raise NoticeError("CH703", where="quiet_from and quiet_until", what="both are given, and they differ, or none")
    if values["digest"] not in DIGESTS:
        raise NoticeError("CH703", where="digest", what=f"it is one of {', '.join(DIGESTS)}")
    if not isinstance(values["provider_in_push"], bool):
        raise NoticeError("CH703", where="provider_in_push", what="it is true or false")
    _check_pairs(values["unsubscribed"])


def _check_pairs(pairs: Iterable[Any]) -> None:
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] not in CHANNELS or pair[1] not in NOTICE_KINDS:
            raise NoticeError("CH703", where="unsubscribed", what="it holds pairs of a channel and a kind of notice")
