"""What became of a parcel, and the fuse that leaves a receiver alone which was found down."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from charthouse.notify.schedule import PAUSE

if TYPE_CHECKING:
    from typing import TypeAlias

    Result: TypeAlias = Literal["sent", "again", "undeliverable", "later"]

BLOWN_AFTER: Final = 16
"""Parcels in a row that a receiver leaves unanswered or turns away before the others are spared the attempt."""


class Outcome(NamedTuple):
    """What became of a parcel.

    `again`: it is tried again by the schedule, not before the `asked` seconds that the receiver named. `later`: it was
    not tried at all. `code` is an error's number. `down` tells of the receiver, not of this parcel.
    """

    result: Result
    code: str | None = None
    asked: float | None = None
    down: bool = False


SENT: Final = Outcome("sent")


class Fuse:
    """Counts a receiver's failures; blown, it lets nothing through until the drain ends. For all threads of a drain."""

    def __init__(self) -> None:
        self._failures = 0
        self._lock = threading.Lock()
        self.blown: Outcome | None = None

    def note(self, outcome: Outcome) -> Outcome:
        """Note an outcome, and hand it on."""
        with self._lock:
            self._failures = self._failures + 1 if outcome.down else 0
            if self._failures >= BLOWN_AFTER:
                self.blow(outcome)
        return outcome

    def blow(self, outcome: Outcome) -> None:
        """Let nothing more through."""
        asked = max(outcome.asked or 0.0, PAUSE.total_seconds())
        self.blown = Outcome("later", outcome.code, asked)
