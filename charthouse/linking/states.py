"""The two state machines of a link, as tables: which moves there are, and what a person is told of each.

docs/state.md holds each move against what people meet (the troubleshooting list of the service).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charthouse.state.models import Status
    from charthouse.state.notices import NoticeKind


class Transition(NamedTuple):
    """One permitted move of a field, and the reason code that its event carries."""

    before: str
    after: str
    reason: str


def _moves(before: str, after: str, reasons: str) -> tuple[Transition, ...]:
    return tuple(Transition(before, after, reason) for reason in reasons.split())


TRANSITIONS: Final = (
    *_moves("pending", "confirmed", "records_received"),
    *_moves("pending", "expired", "authorization_ended sign_in_abandoned"),
    *_moves("pending", "failed", "sign_in_refused sign_in_abandoned patient_not_readable identity_not_matched"),
    *_moves("pending", "failed", "same_patient_linked not_confirmed_in_time"),
    *_moves("pending", "disconnected", "access_removed consent_withdrawn provider_retired minor_found"),
    *_moves("pending", "deleted", "deletion_asked"),
    *_moves("confirmed", "expired", "authorization_ended"),
    *_moves("confirmed", "failed", "patient_not_readable identity_not_matched"),
    *_moves("confirmed", "disconnected", "access_removed consent_withdrawn provider_retired minor_found"),
    *_moves("confirmed", "deleted", "deletion_asked"),
    *_moves("expired", "pending", "signed_in_again access_returned"),
    *_moves("expired", "disconnected", "access_removed consent_withdrawn provider_retired minor_found"),
    *_moves("expired", "deleted", "deletion_asked"),
    *_moves("disconnected", "pending", "signed_in_again"),
    *_moves("disconnected", "deleted", "deletion_asked"),
    *_moves("failed", "pending", "signed_in_again"),
    *_moves("failed", "disconnected", "access_removed consent_withdrawn provider_retired minor_found"),
    *_moves("failed", "deleted", "deletion_asked"),
)

SYNC_TRANSITIONS: Final = (
    *_moves("never", "waiting", "planned"),
    *_moves("complete", "waiting", "planned"),
    *_moves("partial", "waiting", "planned"),
    *_moves("failed", "waiting", "planned"),
    *_moves("waiting", "running", "started"),
    *_moves("waiting", "failed", "not_started"),
    *_moves("running", "waiting", "resumed"),
    *_moves("running", "complete", "everything_received"),
    *_moves("running", "partial", "something_missing"),
    *_moves("running", "failed", "nothing_received"),
)

DUE: Final[tuple[Status, ...]] = ("pending", "confirmed")
"""The statuses of a link that a night asks for records: the first ones that come confirm a pending link."""

_TOLD: Final[dict[str, NoticeKind]] = {
    "expired": "expired",
    "disconnected": "disconnected",
    "failed": "action_needed",
}
QUIET: Final = frozenset({"same_patient_linked", "sign_in_abandoned"})
"""Reasons of moves that nobody is told of: another link of theirs goes on instead; they left the page themselves."""


def told(after: str, reason: str, *, confirmed_before: bool) -> NoticeKind | None:
    """What kind of notice a move of `status` makes; None for one that a person need not hear of."""
    if reason in QUIET:
        return None
    if after == "confirmed":
        return "reconnected" if confirmed_before else "confirmed"
    return _TOLD.get(after)


def diagram() -> str:
    """Both state machines as Mermaid state diagrams, drawn from the declared transitions."""
    return "\n\n".join(
        f"```mermaid\nstateDiagram-v2\n    [*] --> {start}\n{_edges(table)}\n```"
        for start, table in (("pending", TRANSITIONS), ("never", SYNC_TRANSITIONS))
    )


def table() -> str:
    """What a person is told of each move of `status`, as a Markdown table."""
    rows = [f"| {step.before} → {step.after} | {step.reason} | {_kinds(step)} |" for step in dict.fromkeys(TRANSITIONS)]
    return "\n".join(["| move | reason | notice |", "|---|---|---|", *rows])


def _kinds(step: Transition) -> str:
    kinds = [told(step.after, step.reason, confirmed_before=before) for before in (False, True)]
    return " / ".join(dict.fromkeys(kind for kind in kinds if kind)) or "(none)"


def _edges(moves: Iterable[Transition]) -> str:
    reasons: dict[tuple[str, str], list[str]] = {}
    for step in moves:
        reasons.setdefault((step.before, step.after), []).append(step.reason)
    return "\n".join(f"    {before} --> {after}: {'<br/>'.join(codes)}" for (before, after), codes in reasons.items())
