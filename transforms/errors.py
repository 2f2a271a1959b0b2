"""What a numbered error is, wherever it is declared. The numbers are never reused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One entry of a catalogue: what it means, and what the reader can do."""

    code: str
    title: str
    mend: str
