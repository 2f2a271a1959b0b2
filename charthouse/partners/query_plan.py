"""A link's plan, told: what will be asked of its server and how, what will not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from charthouse.partners.search import FOLLOWED_TYPES, MEDICATION_INCLUDES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charthouse.partners.capability import Capability
    from charthouse.partners.knowledge import Knowledge
    from charthouse.partners.search import LinkPlan, Query, TypePlan
    from charthouse.partners.vendors import Fact

How = Literal["read", "whole", "by parts", "where pointed at", "not asked"]

EVERYTHING: Final = (
    "It can be gone on with at no type, and asked for what is new of none: types are searched one by one."
)
NOT_ASKED: Final = {
    "not_permitted": "the person did not grant it",
    "no_patient_search": "the server finds none by patient",
    "not_in_compartment": "it belongs to nobody",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One type. `queries` are the labels asked first, `since` the instants from which on, by label."""

    type: str
    how: How
    why: str
    queries: tuple[str, ...] = ()
    since: tuple[tuple[str, str], ...] = ()
    page_size: int | None = None
    include: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A plan in words. `known` are the facts that shaped it, or may be met: (what, why, source, mark)."""

    software: str
    vendor: str
    lines: tuple[Line, ...]
    everything: str
    known: tuple[tuple[str, str, str, str], ...]


def tell(offer: Capability, knowledge: Knowledge, plan: LinkPlan) -> Told:
    """Put a plan into words."""
    vendor = knowledge.vendor
    lines = [_line(entry, offer, knowledge) for entry in plan.types]
    lines += _followed(offer, plan)
    told = {line.type for line in lines}
    lines += [
        Line(kind, "not asked", NOT_ASKED[reason]) for kind, reason in plan.not_requested.items() if kind not in told
    ]
    everything = vendor.everything
    return Told(
        software=offer.software,
        vendor=vendor.name,
        lines=tuple(lines),
        everything=EVERYTHING if everything is None else everything.why,
        known=tuple(_facts(knowledge, {entry.type for entry in plan.types})),
    )


def _line(entry: TypePlan, offer: Capability, knowledge: Knowledge) -> Line:
    if entry.whole is not None and entry.whole.read:
        return Line(entry.type, "read", "", (entry.whole.label,))
    asked = (entry.whole,) if entry.whole is not None else entry.parts
    reasons = [_narrowed(entry, knowledge), _date(asked, entry.type, offer, knowledge)]
    return Line(
        type=entry.type,
        how="whole" if entry.whole is not None else "by parts",
        why="; ".join(reason for reason in reasons if reason),
        queries=tuple(query.label for query in asked),
        since=tuple((query.label, query.watermark) for query in asked if query.incremental and query.watermark),
        page_size=asked[0].count if asked else None,
        include=next((value for name, value in asked[0].options if name == "_include"), None) if asked else None,
    )


def _narrowed(entry: TypePlan, knowledge: Knowledge) -> str:
    if entry.narrowed_by == "scopes":
        return "the person granted these categories alone"
    if entry.narrowed_by == "server":
        habit = knowledge.vendor.habit(entry.type).by_parts
        return habit.why.rstrip(".") if habit is not None else "the server refused the whole within the last week"
    count = len(entry.parts)
    return f"by {count} {'part' if count == 1 else 'parts'} where that is refused" if count else ""


def _date(asked: tuple[Query, ...], kind: str, offer: Capability, knowledge: Knowledge) -> str:
    """Why only what is new is asked for, or why not."""
    if not any(query.watermark for query in asked):
        return "everything: nothing was read before that says when it changed"
    if any(query.anew for query in asked):
        return "everything: not all of it came when it was asked for"
    if not offer.has_last_updated(kind):
        return "everything, to compare: `_lastUpdated` is not declared"
    works = knowledge.filters_by_date(kind)
    if works is False:
        return "everything, to compare: `_lastUpdated` is declared, and passed over"
    return "what is new" if works else "what is new, once a probe has shown that `_lastUpdated` works"


def _followed(offer: Capability, plan: LinkPlan) -> Iterator[Line]:
    """What is read because the person's resources point at it."""
    if plan.not_requested.get("Binary") != "not_permitted":
        yield Line("Binary", "where pointed at", "documents that records show, one by one, up to the size permitted")
    searched = {entry.type for entry in plan.types}
    brings = [
        kind
        for kind in MEDICATION_INCLUDES
        for entry in plan.types
        if entry.type == kind and any(name == "_include" for query in _of(entry) for name, _ in query.options)
    ]
    for kind in FOLLOWED_TYPES:
        if kind in searched or kind not in offer.types or plan.not_requested.get(kind) == "not_permitted":
            continue
        if offer.has_id(kind):
            why = "by `_id`, fifty at a time"
        elif offer.types[kind].can_read:
            why = "one by one: there is no search by `_id`"
        else:
            yield Line(kind, "not asked", "the server lets none be read")
            continue
        along = f"; comes along with {', '.join(brings)}" if kind == "Medication" and brings else ""
        yield Line(kind, "where pointed at", why + along)


def _of(entry: TypePlan) -> tuple[Query, ...]:
    return (entry.whole,) if entry.whole is not None else entry.parts


def _facts(knowledge: Knowledge, types: set[str]) -> Iterator[tuple[str, str, str, str]]:
    vendor = knowledge.vendor

    def said(what: str, fact: Fact | None) -> Iterator[tuple[str, str, str, str]]:
        if fact is not None:
            yield what, fact.why, fact.source, fact.mark

    rate = vendor.requests_per_minute
    yield from said(f"{rate.value:,} requests a minute" if rate is not None else "", rate)
    yield from said("_include", vendor.include)
    yield from said("page size", vendor.page_size)
    yield from said("$everything", vendor.everything)
    yield from said("server", vendor.note)
    for kind in sorted(types & vendor.types.keys()):
        habit = vendor.types[kind]
        for name in ("by_parts", "page_size", "last_updated", "note"):
            fact: Fact | None = getattr(habit, name)
            yield from said(f"{kind}: {name.replace('_', ' ')}" if name != "note" else kind, fact)
