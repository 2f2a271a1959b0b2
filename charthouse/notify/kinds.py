"""The kinds of notices, as data: which wait for the daily mail, and which a later one makes needless."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.state.notices import NoticeKind


class Rule(NamedTuple):
    """How a kind is told. `urgent` ones do not wait for the daily mail.

    One that is `STALE_AFTER` old, whose link has had a notice of a kind in `overtaken_by` since, is told no more: what
    it says is no longer so; so is one that asks for a sign-in (`until_signed_in`) which has come since.
    """

    urgent: bool = False
    overtaken_by: frozenset[NoticeKind] = frozenset()
    until_signed_in: bool = False


STALE_AFTER: Final = timedelta(hours=1)
_ENDED: Final[frozenset[NoticeKind]] = frozenset({"disconnected", "erased"})

RULES: Final[Mapping[NoticeKind, Rule]] = {
    "confirmed": Rule(overtaken_by=_ENDED),
    "not_confirmed": Rule(overtaken_by=_ENDED | {"confirmed", "reconnected", "expired", "action_needed"}),
    "expiring": Rule(urgent=True, overtaken_by=_ENDED | {"expired", "reconnected"}, until_signed_in=True),
    "expired": Rule(urgent=True, overtaken_by=_ENDED | {"reconnected"}, until_signed_in=True),
    "reconnected": Rule(overtaken_by=_ENDED),
    "disconnected": Rule(overtaken_by=frozenset({"reconnected"}), until_signed_in=True),
    "provider_found": Rule(overtaken_by=_ENDED | {"confirmed"}),
    "export_ready": Rule(urgent=True),
    "erased": Rule(),
    "action_needed": Rule(urgent=True, overtaken_by=_ENDED | {"confirmed", "reconnected"}, until_signed_in=True),
}
