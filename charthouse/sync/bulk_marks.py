"""How far a link has been read by exports: what is asked of the next one, and which marks move after it.

A mark is the server's own `transactionTime`. The label `$export` stands for everything; a type that failed is behind
it, under a label of its own, and is asked for apart until it has caught up.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from charthouse.partners.bulk import ExportRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALL: Final = "$export"
_OF_TYPE: Final = "$export?_type="
NEVER: Final = "never"
"""The mark of a type that no export has brought whole, or that did not come when everything was asked for again."""
PATIENT: Final = "Patient"
EVERYTHING: Final = "*"
"""In a set of failed types: nobody knows which."""


def label_of(kind: str) -> str:
    """The label of one type."""
    return f"{_OF_TYPE}{kind}"


def requests(level: str, marks: Iterable[Mapping[str, str]]) -> list[ExportRequest]:
    """The exports that links with these marks need: one of everything, and one of the types that are behind.

    Links are exported together, so the one that has read least decides.
    """
    listed = list(marks)
    known = [mark[ALL] for mark in listed if ALL in mark]
    since = min(known, key=_instant) if known and len(known) == len(listed) else None
    whole = ExportRequest(level, since=since)
    if since is None:
        return [whole]
    behind: dict[str, str] = {}
    for mark in listed:
        for label, value in mark.items():
            kind = label.removeprefix(_OF_TYPE)
            if kind != label and _is_before(value, mark[ALL]):
                behind[kind] = value if kind not in behind or _is_before(value, behind[kind]) else behind[kind]
    if not behind:
        return [whole]
    if NEVER in behind.values():  # with it the Patient: who is not in an export may be somebody whom it leaves out
        return [whole, ExportRequest(level, tuple(sorted({*behind, PATIENT})))]
    return [whole, ExportRequest(level, tuple(sorted(behind)), min(behind.values(), key=_instant))]


def moved(
    before: Mapping[str, str], request: ExportRequest, transaction_time: str | None, failed: Iterable[str]
) -> dict[str, str]:
    """The marks after an export: those of the types that did not fail, if the server said when it was."""
    missed = set(failed)
    if transaction_time is None or EVERYTHING in missed:
        return {}
    if request.types:
        return {label_of(kind): transaction_time for kind in request.types if kind not in missed}
    stands = before.get(ALL, NEVER) if request.since is not None else NEVER
    after = {ALL: transaction_time} | {label_of(kind): stands for kind in missed}
    for label, value in before.items():
        if not label.startswith(_OF_TYPE):
            continue
        was_behind = ALL in before and _is_before(value, before[ALL])
        if was_behind and request.since is not None:
            after[label] = value  # it is asked for apart, from where it stands
        else:
            after.setdefault(label, transaction_time)
    return after


def _is_before(value: str, other: str) -> bool:
    return value == NEVER or (other != NEVER and _instant(value) < _instant(other))


def _instant(value: str) -> datetime:
    return datetime.fromisoformat(value)
