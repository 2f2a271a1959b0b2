"""The rows of one person and table, put into groups that are one record each.

A group has one row of a link, but for what one link sent twice: two measurements that a provider tells apart stay two,
however alike they are. Whoever is in a group matches everyone in it, so no chain of small differences runs through a
person's record.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from transforms.duplicates.candidates import same_time, sharing
from transforms.duplicates.pairs import Match, match, repeats

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transforms.duplicates.facts import Keys, Row

REPEATED = "repeated"
"""How a row came into a group with one of its own link."""


class Grouping:
    """Groups in the making. Rows are named by key."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {row.row_key: row for row in rows}
        self.members: dict[str, list[Row]] = {}
        """Representative → the rows of its group; a row in no group has none."""
        self.of: dict[str, str] = {}
        self.by: dict[str, str] = {}
        """Why a row is in its group: of its surest match."""
        self.accepted: set[tuple[str, str]] = set()

    def group(self, row: Row) -> list[Row]:
        """The rows of its group: itself alone, where it is in none."""
        return self.members[self.of[row.row_key]] if row.row_key in self.of else [row]

    def links(self, row: Row) -> set[str]:
        """The links that its group has rows of."""
        return {each.link_id for each in self.group(row)}

    def join(self, one: Row, other: Row, by: str) -> None:
        """Make one group of two."""
        both = sorted((*self.group(one), *self.group(other)), key=lambda row: row.row_key)
        for row in (one, other):
            self.by.setdefault(row.row_key, by)
        for row in (one, other):
            if row.row_key in self.of:
                self.members.pop(self.of[row.row_key], None)
        name = both[0].row_key
        self.members[name] = both
        self.of.update(dict.fromkeys((row.row_key for row in both), name))

    def repeat(self, keys: Keys) -> None:
        """Put together what one link sent twice."""
        alike: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in self.rows.values():
            alike[row.link_id, row.repeat].append(row)
        for several in alike.values():
            for number, row in enumerate(several):
                for other in several[:number]:
                    if self.group(row) is not self.group(other) and repeats(keys, other, row):
                        self.join(other, row, REPEATED)
                        break

    def take(self, found: list[tuple[Match, Row, Row]]) -> None:
        """Join what matches, the surest first, wherever everyone of both groups matches everyone."""
        found.sort(key=lambda each: (each[0].order, each[1].record, each[2].record, each[1].row_key, each[2].row_key))
        self.accepted.update(_named(one, other) for _, one, other in found)
        for matched, one, other in found:
            mine, theirs = self.group(one), self.group(other)
            if mine is theirs or not self.links(one).isdisjoint(self.links(other)):
                continue
            if len(mine) + len(theirs) > 2 and not self._match(mine, theirs):
                continue
            self.join(one, other, matched.by)

    def _match(self, mine: list[Row], theirs: list[Row]) -> bool:
        """Whether every link of one group has a row that matches one of every link of the other."""
        by_link: dict[tuple[str, str], bool] = {}
        for row in mine:
            for other in theirs:
                pair = (row.link_id, other.link_id)
                by_link[pair] = by_link.get(pair, False) or _named(row, other) in self.accepted
        return all(by_link.values())


def _named(one: Row, other: Row) -> tuple[str, str]:
    return (one.row_key, other.row_key) if one.row_key < other.row_key else (other.row_key, one.row_key)


def grouped(keys: Keys, rows: Sequence[Row]) -> Grouping:
    """The groups among the rows of one person and table."""
    grouping = Grouping(rows)
    grouping.repeat(keys)
    links = {row.link_id for row in rows}
    if len(links) < 2:
        return grouping
    matches = ((match(keys, one, other), one, other) for one, other in sharing(keys, rows))
    grouping.take([(found, one, other) for found, one, other in matches if found is not None and not found.weak])
    # What is left of each is looked through once more: something else may be close enough now.
    left = [row for row in rows if grouping.links(row) != links]
    others = ((match(keys, one, other), one, other) for one, other in same_time(keys, left))
    weak = [
        (found, one, other)
        for found, one, other in others
        if found is not None and grouping.links(one).isdisjoint(grouping.links(other))
    ]
    counted = Counter(
        (row.row_key, other.link_id) for found, *pair in weak if found.sole for row, other in (pair, pair[::-1])
    )
    grouping.take(
        [
            (found, one, other)
            for found, one, other in weak
            if not found.sole or counted[one.row_key, other.link_id] == counted[other.row_key, one.link_id] == 1
        ]
    )
    return grouping
