"""Many texts looked for at once in bytes (Aho-Corasick, by a library)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ahocorasick_rs import BytesAhoCorasick, Implementation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from typing_extensions import Buffer

FAST_BYTES: Final = 400_000
"""Bytes of needles up to which the fast automaton is worth its memory."""
CHUNK: Final = 8_000_000
CROWD: Final = 2_000
"""Matches in one chunk from which it is worth forgetting those that were found."""


class Matcher:
    """Looks for needles. `drop` takes some out again."""

    def __init__(self, needles: Collection[bytes]) -> None:
        self._needles: list[bytes] = []
        self._automaton: BytesAhoCorasick | None = None
        self._longest = 0
        self._build(needles)

    def __len__(self) -> int:
        return len(self._needles)

    def found(self, content: Buffer, *, dropped: Collection[bytes] = ()) -> set[bytes]:
        """The needles that are in `content`. Those among `dropped` are looked for no more once they are seen."""
        seen: set[bytes] = set()
        for part in self._chunks(memoryview(content).cast("B")):
            if self._automaton is None:
                break
            matches = self._automaton.find_matches_as_indexes(part, overlapping=True)
            if not matches:
                continue
            here = {self._needles[index] for index, _, _ in matches}
            seen |= here
            if len(matches) > CROWD and (gone := here.intersection(dropped)):
                self.drop(gone)
        return seen

    def places(self, content: Buffer) -> list[tuple[int, int]]:
        """Where needles are: (first, behind the last) byte, joined where they overlap."""
        if self._automaton is None:
            return []
        spans = sorted(
            (start, end) for _, start, end in self._automaton.find_matches_as_indexes(content, overlapping=True)
        )
        joined: list[tuple[int, int]] = []
        for start, end in spans:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def drop(self, needles: Collection[bytes]) -> None:
        """Look for these no more."""
        gone = set(needles)
        if gone:
            self._build([needle for needle in self._needles if needle not in gone])

    def _build(self, needles: Collection[bytes]) -> None:
        self._needles = sorted(needles)
        self._longest = max(map(len, self._needles), default=0)
        fast = sum(map(len, self._needles)) <= FAST_BYTES
        implementation = Implementation.DFA if fast else Implementation.ContiguousNFA
        self._automaton = BytesAhoCorasick(self._needles, implementation=implementation) if self._needles else None

    def _chunks(self, content: memoryview) -> Iterator[memoryview]:
        """Parts that overlap by the longest needle, small ones first: common needles are forgotten early."""
        start, size = 0, 64_000
        while start < len(content):
            yield content[start : start + size + self._longest]
            start += size
            size = min(size * 4, CHUNK)
