"""The newest result of a matter, and its results over time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from transforms.coach import charts, telling
from transforms.coach.measured import CATEGORIES, asked_results, parts_of
from transforms.coach.results import Change, LatestResult, Point, Trend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from transforms.coach.facts import Amount, PersonRecords
    from transforms.coach.telling import Group

MOST_ALSO = 5


def latest(records: PersonRecords, name: str, now: datetime) -> LatestResult:
    """The newest result of what is asked for, with the parts of a panel."""
    asked, found = asked_results(records, name, now)
    told = asked.told(CATEGORIES)
    beside = [telling.fact(each.groups[0]) for each in found[1:] if each.groups][:MOST_ALSO]
    if not found or not found[0].groups:
        undated = found[0].undated if found else 0
        return LatestResult(found=bool(beside), looked_for=told, also=beside, undated=undated)
    main = found[0]
    newest = main.groups[0]
    parts = parts_of(records, newest[0]) if telling.value_of(newest[0]) is None or newest[0].members else []
    return LatestResult(
        found=True,
        looked_for=told,
        fact=telling.fact(newest, parts),
        also=beside,
        earlier=len(main.groups) - 1,
        undated=main.undated,
    )


def trend(records: PersonRecords, name: str, since: str | None, now: datetime) -> Trend:
    """All results of one matter from `since` on (a year, month or day), in the unit that most of them are in.

    What has no number, another unit or no date is counted and left out. Bounds (`<5.7`) are points, and are not
    compared.
    """
    asked, found = asked_results(records, name, now)
    there = next((each for each in found if each.groups), None)
    if there is None:
        return Trend(found=False, looked_for=asked.told(CATEGORIES))
    groups = [group for group in reversed(there.groups) if since is None or (group[0].start or "") >= since]
    left = Counter({"without-a-date": there.undated})
    measured: list[tuple[Group, Amount, str, float]] = []
    for group in groups:
        amount = group[0].systolic or group[0].value
        number = None if amount is None else amount.canonical if amount.canonical_unit else amount.number
        if amount is None or number is None:
            left["without-a-number"] += 1
        else:
            measured.append((group, amount, amount.canonical_unit or amount.unit_code or amount.unit or "", number))
    units = Counter(unit for _, _, unit, _ in measured)
    unit = max(units, key=lambda each: (units[each], each)) if units else None
    left["in-another-unit"] = sum(count for each, count in units.items() if each != unit)
    kept = [each for each in measured if each[2] == unit]
    points = [point for each in kept if (point := _point(*each)) is not None]
    title = _title(there.groups[0])
    return Trend(
        found=bool(points),
        looked_for=asked.told(CATEGORIES),
        name=title,
        unit=unit or None,
        points=points,
        change=_change(points),
        left_out={why: count for why, count in left.items() if count},
        facts=telling.facts(_ends(kept)),
        chart=charts.chart(title, unit, points),
    )


def _ends(kept: Sequence[tuple[Group, Amount, str, float]]) -> list[Group]:
    groups = [group for group, *_ in kept]
    return [*groups[:1], *(groups[-1:] if len(groups) > 1 else [])]


def _title(group: Group) -> str:
    row = group[0]
    return f"{telling.name_of(row)} (systolic)" if row.systolic is not None else telling.name_of(row)


def _point(group: Group, amount: Amount, _unit: str, number: float) -> Point | None:
    row = group[0]
    when = telling.when(row)
    if when is None:
        return None
    shown = telling.value_of(row)
    return Point(
        when=when,
        number=number,
        comparator=amount.comparator,
        shown=shown.shown if shown is not None else "",
        stage=telling.stage_of(row),
        row_key=row.row_key,
    )


def _change(points: Sequence[Point]) -> Change | None:
    exact = [point for point in points if not point.comparator]
    if len(exact) < 2:
        return None
    first, last = exact[0], exact[-1]
    difference = round(last.number - first.number, 10)
    return Change(
        first=first,
        last=last,
        difference=difference,
        percent=round(100 * difference / abs(first.number), 1) if first.number else None,
        direction="up" if difference > 0 else "down" if difference < 0 else "same",
        lowest=min(point.number for point in exact),
        highest=max(point.number for point in exact),
    )
