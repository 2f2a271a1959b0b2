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


_IN_WORDS: Final = frozenset([*b"0123456789_", *range(0x41, 0x5B), *range(0x61, 0x7B), *range(0x80, 0x100)])
"""Bytes that go on a word: letters, digits, and those of all signs beyond ASCII."""


class Matcher:
    """Looks for needles, and for `words` that stand by themselves. `drop` takes some out again."""

    def __init__(self, needles: Collection[bytes], words: Collection[bytes] = ()) -> None:
        self._needles: list[bytes] = []
        self._words = frozenset(words)
        self._automaton: BytesAhoCorasick | None = None
        self._longest = 0
        self._build({*needles, *self._words})

    def __len__(self) -> int:
        return len(self._needles)

    def found(self, content: Buffer, *, dropped: Collection[bytes] = ()) -> set[bytes]:
        """The needles that are in `content`. Those among `dropped` are looked for no more once they are seen."""
        seen: set[bytes] = set()
        for part, first, last in self._chunks(memoryview(content).cast("B")):
            if self._automaton is None:
                break
            matches = self._matches(self._automaton, part, first=first, last=last)
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
        spans = sorted((start, end) for _, start, end in self._matches(self._automaton, content))
        joined: list[tuple[int, int]] = []
        for start, end in spans:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def _matches(
        self, automaton: BytesAhoCorasick, content: Buffer, *, first: bool = True, last: bool = True
    ) -> list[tuple[int, int, int]]:
        """(needle, start, end) of what is in a part; a word at an edge behind which more follows is another part's."""
        matches = automaton.find_matches_as_indexes(content, overlapping=True)
        if not self._words or not matches:
            return matches
        said = memoryview(content).cast("B")
        return [
            match
            for match in matches
            if self._needles[match[0]] not in self._words or _alone(said, match[1], match[2], first=first, last=last)
        ]

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

    def _chunks(self, content: memoryview) -> Iterator[tuple[memoryview, bool, bool]]:
        """Parts, and whether each is the first and the last. Small ones first: common needles are forgotten early.

        They overlap by the longest needle and the signs before and behind it.
        """
        start, size = 0, 64_000
        while start < len(content):
            end = start + size + self._longest + 2
            yield content[start:end], start == 0, end >= len(content)
            start += size
            size = min(size * 4, CHUNK)


def _alone(content: memoryview, start: int, end: int, *, first: bool, last: bool) -> bool:
    """Whether what stands there is a word by itself."""
    before = content[start - 1] not in _IN_WORDS if start else first
    return before and (content[end] not in _IN_WORDS if end < len(content) else last)
