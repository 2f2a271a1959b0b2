"""What a load has read so far: the loader fills it, the inventory tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.files import Fault


@dataclass(slots=True)
class Tally:
    """What has been read so far."""

    files: int = 0
    read: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    older: Counter[str] = field(default_factory=Counter)
    apart: int = 0
    overlaid: int = 0
    unresolved: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    aside: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Resources read."""
        return self.read.total()
