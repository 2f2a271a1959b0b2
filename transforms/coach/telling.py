"""Rows as facts: duplicates folded, moments in their precision, values as sent and in one unit. Nothing is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from transforms.coach.results import Coding, Fact, Interpretation, Moment, Quantity, ReferenceRange, Source, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transforms.coach.facts import Amount, Row, Usual
    from transforms.coach.results import Stage

STAGES: Final[dict[str, Stage]] = {
    "final": "final",
    "completed": "final",
    "finished": "final",
    "active": "final",
    "registered": "preliminary",
    "preliminary": "preliminary",
    "amended": "corrected",
    "corrected": "corrected",
    "appended": "corrected",
    "cancelled": "cancelled",
}
ISO: Final = "%Y-%m-%dT%H:%M:%SZ"
"""How a row has its moments, in UTC."""
Group = Sequence["Row"]
"""Rows that are one record, the best first."""


def folded(rows: Iterable[Row]) -> list[Group]:
    """Rows by what they are records of, the best of each first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group or row.row_key, []).append(row)
    return [sorted(group, key=lambda row: (row.rank, row.row_key)) for group in groups.values()]


def newest_first(groups: Iterable[Group]) -> list[Group]:
    """By when it is true, then by when it was recorded; those without a date at the end."""
    return sorted(groups, key=lambda group: order_of(group[0]), reverse=True)


def newest_of_each(groups: Iterable[Group]) -> list[Group]:
    """Of those of one code the first: the newest, where they come newest first."""
    found: dict[str, Group] = {}
    for group in groups:
        found.setdefault(group[0].code or name_of(group[0]), group)
    return list(found.values())


def order_of(row: Row) -> tuple[str, bool, str, str]:
    """What rows are put in order by. Of one moment, what is final comes before what is not yet."""
    return (row.start or "", stage_of(row) != "preliminary", row.recorded or row.updated or "", row.row_key)


def facts(groups: Iterable[Group]) -> list[Fact]:
    """Each group as a fact."""
    return [fact(group) for group in groups]


def fact(group: Group, parts: Sequence[Fact] = ()) -> Fact:
    """What some rows say that are one record."""
    row = group[0]
    given: dict[str, Any] = {
        "category": row.table,
        "name": name_of(row),
        "text": row.text if row.text != name_of(row) else None,
        "codings": codings_of(row),
        "when": when(row),
        "until": moment(row.end, row.end_precision),
        "recorded": moment(row.recorded, "second"),
        "status": row.status,
        "stage": stage_of(row),
        "value": value_of(row),
        "reference_ranges": [usual for each in row.usual if (usual := _usual(each)) is not None],
        "interpretations": [
            Interpretation(code=each.code, display=each.display) for each in row.interpretations
            if each.code or each.display
        ],
        "part_of": (row.panel.display if row.panel else None) or row.panel_text,
        "parts": list(parts),
        "details": dict(row.details),
        "remarks": list(row.remarks),
        "sources": [_source(each) for each in group],
    }  # fmt: skip
    return Fact(**given)


def name_of(row: Row) -> str:
    """What the records call it."""
    return row.display or row.text or row.details.get("class") or row.code or "(no name)"


def stage_of(row: Row) -> Stage:
    """How far along a record is, of whatever category."""
    return STAGES.get((row.status or "").lower(), "unknown")


def codings_of(row: Row) -> list[Coding]:
    """Every coding of a row, the one that is shown first."""
    shown = [Coding(system=row.system, code=row.code, display=row.display)] if row.code else []
    every = [Coding(system=each.system, code=each.code, display=each.display) for each in row.codings if each.code]
    return list({(each.system, each.code): each for each in [*every, *shown]}.values()) if every else shown


def moment(at: str | None, precision: str | None, offset: str | None = None, day: str | None = None) -> Moment | None:
    """A moment as exactly as it was sent, on the sender's own clock where that is known."""
    if at is None:
        return None
    if precision == "year":
        return Moment(value=at[:4], precision="year")
    if precision == "month":
        return Moment(value=at[:7], precision="month")
    if precision == "day":
        return Moment(value=day or at[:10], precision="day")
    local, zone = at.removesuffix("Z"), "Z"
    if offset and (minutes := _minutes(offset)):
        moved = datetime.fromisoformat(local).replace(tzinfo=UTC) + timedelta(minutes=minutes)
        local, zone = moved.strftime("%Y-%m-%dT%H:%M:%S"), offset
    if precision == "minute":
        return Moment(value=local[:16] + zone, precision="minute")
    return Moment(value=local + zone, precision="second")


def when(row: Row) -> Moment | None:
    """When it is true, or began to be."""
    return moment(row.start, row.start_precision, row.start_offset, row.start_day)


def instant(at: datetime) -> str:
    """An instant as rows have theirs, to be compared with them."""
    return at.strftime(ISO)


def value_of(row: Row) -> Value | None:
    """The value of a result, whatever its kind; None where the row has none and says nothing about that."""
    if row.systolic is not None or row.diastolic is not None:
        return pressure(row.systolic, row.diastolic)
    if row.value is not None and row.value_type not in ("CodeableConcept", "boolean"):
        kind = "quantity" if row.value.number is not None or row.value_type == "Quantity" else "text"
        return _value(kind, amount_text(row.value), quantity=quantity(row.value), is_positive=row.positive)
    if row.low is not None or row.high is not None:
        shown = f"{_number(row.low) or '?'}-{_number(row.high) or '?'}{_unit(row.high) or _unit(row.low)}"
        return _value("range", shown, low=quantity(row.low), high=quantity(row.high))
    if row.numerator is not None or row.denominator is not None:
        sides = [amount_text(each) for each in (row.numerator, row.denominator) if each is not None]
        made = {"numerator": quantity(row.numerator), "denominator": quantity(row.denominator)}
        return _value("ratio", ":".join(sides) if not _unit(row.denominator) else " / ".join(sides), **made)
    if row.boolean is not None:
        return _value("boolean", "yes" if row.boolean else "no", is_positive=row.positive)
    if row.concept is not None or (row.value is not None and row.value_type == "CodeableConcept"):
        return _concept(row)
    if row.date is not None:
        told = moment(row.date, row.date_precision)
        return _value("date", told.value if told else row.date)
    if row.period is not None:
        return _value("period", " to ".join(each or "?" for each in row.period))
    if row.absent is not None:
        return _value("absent", row.absent)
    return None


def has_value(row: Row) -> bool:
    """Whether there is a value in it, and more than a word on why there is none; a side of a pressure is told by its
    whole."""
    told = value_of(row)
    return told is not None and told.kind != "absent" and not (row.component and row.table == "vitals")


def pressure(systolic: Amount | None, diastolic: Amount | None) -> Value:
    """Both sides of a blood pressure."""
    shown = f"{_number(systolic) or '?'}/{_number(diastolic) or '?'}{_unit(systolic) or _unit(diastolic)}"
    return _value("pressure", shown, systolic=quantity(systolic), diastolic=quantity(diastolic))


def quantity(amount: Amount | None) -> Quantity | None:
    """A number as an answer has it."""
    if amount is None:
        return None
    return Quantity(
        number=amount.number,
        text=amount.text,
        comparator=amount.comparator,
        unit=amount.unit,
        unit_code=amount.unit_code,
        canonical=amount.canonical,
        canonical_unit=amount.canonical_unit,
    )


def amount_text(amount: Amount) -> str:
    """A number with its unit, as sent."""
    return f"{_number(amount)}{_unit(amount)}"


def _number(amount: Amount | None) -> str:
    if amount is None:
        return ""
    text = amount.text if amount.text is not None else "" if amount.number is None else f"{amount.number:g}"
    before = amount.comparator or ""
    return text if text.lstrip().startswith(("<", ">", "≤", "≥")) else before + text


def _unit(amount: Amount | None) -> str:
    unit = (amount.unit or amount.unit_code) if amount is not None else None
    # A result in words may have its unit in them.
    return "" if not unit or unit == "1" or (amount and amount.text and amount.text.endswith(unit)) else f" {unit}"


def _concept(row: Row) -> Value:
    coded, said = row.concept, row.value.text if row.value is not None else None
    shown = (coded.display if coded else None) or said or (coded.code if coded else None) or ""
    coding = Coding(system=coded.system, code=coded.code, display=coded.display) if coded and coded.code else None
    return _value("concept", shown, coding=coding, is_positive=row.positive)


def _value(kind: Any, shown: str, **more: Any) -> Value:
    return Value(kind=kind, shown=shown, **more)


def _usual(each: Usual) -> ReferenceRange | None:
    low, high = (_number(side) or None if side else None for side in (each.low, each.high))
    unit = next((side.unit or side.unit_code for side in (each.high, each.low) if side and not side.is_empty), None)
    if low is None and high is None and not each.text:
        return None
    made = f"{low}-{high}" if low and high else f">= {low}" if low else f"<= {high}"
    shown = each.text or f"{made} {unit or ''}".strip()
    kind = each.kind if (each.kind or "normal").lower() not in ("normal", "normal range") else None
    applies = each.applies_to or kind
    return ReferenceRange(shown=shown, low=low, high=high, unit=unit, text=each.text, applies_to=applies)


def _source(row: Row) -> Source:
    return Source(
        provider=row.provider,
        route=row.route,
        resource_key=row.resource_key,
        row_key=row.row_key,
        link_id=row.link_id,
        status=row.status,
        is_served=row.is_served,
    )


def _minutes(offset: str) -> int:
    """`-05:00` in minutes; 0 for UTC, and for what is none."""
    if len(offset) != 6 or offset[0] not in "+-":
        return 0
    hours, minutes = offset[1:3], offset[4:]
    if not (hours.isdigit() and minutes.isdigit()):
        return 0
    return (-1 if offset[0] == "-" else 1) * (int(hours) * 60 + int(minutes))
