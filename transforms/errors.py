"""What a numbered error is, wherever it is declared. The numbers are never reused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One entry of a catalogue: what it means, what the reader can do, and whether it is `final`.

    A task that raises a final error is not tried again: the same would come of it until somebody mends the cause.
    """

    code: str
    title: str
    mend: str
    final: bool = False
