"""Which rows of a person are worth comparing: those that share a code, a name or a drug, near in time."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from transforms.duplicates.facts import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from transforms.duplicates.facts import Keys, Row

_WINDOW: Final = 2 * DAY
_WIDE: Final = 8 * DAY
"""Of vaccines, whose lots hold them together."""
_NARROWER: Final = (3_600_000_000, 60_000_000)
_CROWD: Final = 200
"""Where more rows are near one than these, as of a watch that counts each minute, an hour counts, or a minute."""
_CROWDED_DAY: Final = 1_000
"""On a day with more rows left than these, nothing is paired by the day alone."""
_COARSE: Final = frozenset({"month", "year"})


def sharing(keys: Keys, rows: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    """Pairs of rows of different links that share what they are about. Each pair once."""
    by_token: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for token in row.concept.tokens:
            by_token[token][row.link_id].append(row)
    seen: set[tuple[str, str]] = set()
    for by_link in by_token.values():
        if len(by_link) < 2:
            continue
        links = sorted(by_link)
        for number, link in enumerate(links):
            for other in links[number + 1 :]:
                for pair in _near(keys, by_link[link], by_link[other]):
                    name = (pair[0].row_key, pair[1].row_key)
                    if name not in seen:
                        seen.add(name)
                        yield pair


def _near(keys: Keys, some: list[Row], others: list[Row]) -> Iterator[tuple[Row, Row]]:
    if keys.time != "event" or len(some) * len(others) < 16:
        yield from ((row, other) for row in some for other in others)
        return
    window = _WIDE if keys.family == "vaccine" else _WINDOW
    exact = sorted((row for row in others if row.start is not None and row.precision not in _COARSE), key=_start)
    starts = [_start(row) for row in exact]
    coarse = [row for row in others if row.precision in _COARSE]
    for row in some:
        if row.start is None:
            continue
        if row.precision in _COARSE:
            yield from ((row, other) for other in others)
            continue
        for reach in (window, *_NARROWER):
            first, last = bisect_left(starts, row.start - reach), bisect_left(starts, row.start + reach)
            if last - first <= _CROWD:
                break
        yield from ((row, other) for other in exact[first:last])
        yield from ((row, other) for other in coarse)


def _start(row: Row) -> int:
    return row.start or 0


def same_time(keys: Keys, rows: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    """Pairs of rows of different links that share a day, whatever they are about. Each pair once."""
    by_day: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if keys.time == "none":
            by_day[0].append(row)
        elif row.start is not None and row.precision not in _COARSE:
            by_day[row.start // DAY].append(row)
    for day in sorted(by_day):
        mine = by_day[day]
        if len(mine) > _CROWDED_DAY:
            continue
        for number, row in enumerate(mine):
            yield from ((row, other) for other in mine[number + 1 :] if other.link_id != row.link_id)
            yield from ((row, other) for other in by_day.get(day + 1, ()) if other.link_id != row.link_id)
