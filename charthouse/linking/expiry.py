"""When a grant may end, and how long before a person is warned: pure rules, declared as data.

Nothing is assumed of a provider. An end is known where the provider told it (introspection, `refresh_expires_in`,
`access_grant_expiration`), and expected where its grants really ended at one age. RFC 6749 says nothing of lifetimes;
ONC's rules permit providers to set them (months, a week, a day), and people to change theirs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

TICK: Final = timedelta(hours=1)
"""How often the watch looks (the DAG `refresh_connections`)."""
LEADS: Final = (
    (timedelta(days=28), timedelta(days=7)),
    (timedelta(days=5), timedelta(days=1)),
    (timedelta(hours=20), timedelta(hours=1)),
)
"""(a life of at least, warned this long before its end). What lives shorter ends without a warning: it would come as
often as the end itself."""
ENOUGH: Final = 3
"""Ends of a provider's grants before anything is expected of the others."""
SPREAD: Final = 0.25
SLACK: Final = timedelta(hours=2)
"""Ends are one and the same lifetime when they lie within this share of the earliest and this much more: they are
noticed when a grant is used next, after a quarter of its age or a day (`next_look`)."""
SAME: Final = timedelta(minutes=10)
"""Two told ends no further apart than this are the same one, told twice."""
RARELY: Final = timedelta(days=1)
OFTEN: Final = timedelta(hours=1)


class End(NamedTuple):
    """When a grant ends or is expected to, and how long it lives in all."""

    at: datetime
    life: timedelta


def lifetime(ended: Sequence[timedelta], alive: Sequence[timedelta] = ()) -> timedelta | None:
    """The age at which a provider's grants end, as those say that ended; None where they do not agree.

    It is the smallest age from which on the window that `SPREAD` and `SLACK` open holds `ENOUGH` ends, and most of all
    that could have ended there: the other ends (people who took a grant back, at any age) and the grants `alive` that
    outlived the window are fewer.
    """
    ages = sorted(ended)
    for first in ages:
        until = first * (1 + SPREAD) + SLACK
        within = sum(first <= age <= until for age in ages)
        outlived = sum(age > until for age in alive)
        if within >= ENOUGH and 2 * within > len(ages) + outlived:
            return first
    return None


def ends_at(
    granted_at: datetime | None, told: datetime | None, told_since: datetime | None, learnt: timedelta | None
) -> End | None:
    """The end that a link may expect: what the provider told, or what its other grants teach, whichever is earlier.

    `told_since` is when this end was told first, empty where it was told of a token that has been replaced. A refresh
    token that lives a day and is renewed every hour has an end that moves on, and a life of a day; a grant that ends on
    a date keeps telling it, and lives from its beginning.
    """
    known = []
    if told is not None and told_since is not None:
        known.append(End(told, told - told_since))
    if learnt is not None and granted_at is not None:
        known.append(End(granted_at + learnt, learnt))
    return min(known, default=None)


def warning_lead(life: timedelta) -> timedelta | None:
    """How long before its end a person is warned of a grant that lives so long; None for one without a warning."""
    return next((lead for least, lead in LEADS if life >= least), None)


def warn_now(end: End | None, now: datetime) -> bool:
    """Whether this look is the last that is still the whole lead before the end, or a later one before the end."""
    lead = None if end is None else warning_lead(end.life)
    return end is not None and lead is not None and end.at - lead - TICK < now < end.at


def next_look(now: datetime, granted_at: datetime | None, told: datetime | None) -> datetime:
    """When a grant is used next so that its end is noticed, and a refresh token does not run out unused.

    After a quarter of its age, or half of what is left of a told life, but within the day and not within the hour.
    """
    wait = RARELY
    if granted_at is not None:
        wait = min(wait, (now - granted_at) / 4)
    if told is not None:
        wait = min(wait, (told - now) / 2)
    return now + max(wait, OFTEN)
