"""An answer: the gate, the guard, the shelf, the function. REST, the command line and MCP all come through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import Field, ValidationError
from sqlalchemy import select

from charthouse.coach import access, shelf
from charthouse.coach.functions import FUNCTIONS, Asked, Function, function
from charthouse.errors import CoachError
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.models import Link
from transforms.coach.guard import stopped
from transforms.coach.results import Freshness, LinkFreshness, Result, Shape
from transforms.coach.standing import Verdict  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.models import Actor

__all__ = ["FUNCTIONS", "Answer", "answer", "answer_type"]

DECLARED: Final = "For general wellness only: facts from medical records, no medical advice."
AnyResult = TypeVar("AnyResult", bound=Result)


class Answer(Shape, Generic[AnyResult]):
    """What is answered. With a `verdict` there is no `result`: the question was no matter of wellness."""

    function: str
    declares: str = DECLARED
    verdict: Verdict | None = None
    freshness: Freshness | None = Field(default=None, description="How fresh the records are of which it was made.")
    result: AnyResult | None = None


def answer_type(asked: Function) -> type[Answer[Any]]:
    """The type of the answers of a function, for documents and output schemas."""
    return Answer[asked.result]  # type: ignore[name-defined]


def asked_of(called: Function, given: Mapping[str, Any] | Asked) -> Asked:
    """What a function was given, checked.

    Raises:
        CoachError: CH682 when it cannot be used; which parameter, and never what stood in it.
    """
    if isinstance(given, Asked):
        return given
    try:
        return called.asked.model_validate(dict(given))
    except ValidationError as error:
        known = {str(each["loc"][0]) for each in error.errors(include_input=False) if each["loc"]}
        named = sorted(known & called.asked.model_fields.keys())
        raise CoachError("CH682", where=called.name, what=", ".join(named) or "it does not take that") from None


def answer(
    person_key: str,
    name: str,
    given: Mapping[str, Any] | Asked,
    *,
    actor: Actor,
    through: str,
    settings: Settings | None = None,
) -> Answer[Any]:
    """Answer one question about one person. Whether the caller may ask about them is for the caller to know.

    Args:
        name: The function's, as `charthouse.coach.functions` has it.
        given: Its parameters by name.
        through: By which door the question came (api, cli, mcp): for the audit trail.

    Raises:
        CoachError: CH680 when the person's records may not be used, CH681 for no such function, CH682 for parameters
            that cannot be used.
        LakeError: the records cannot be read.
    """
    settings = settings or get_settings()
    called = function(name)
    asked = asked_of(called, given)
    # Before the gate: whoever is in danger is told whom to call, whatever they agreed to. It says nothing of records.
    verdict = stopped(*(getattr(asked, each) for each in called.free_text))
    if verdict is not None:
        return answer_type(called)(function=called.name, verdict=verdict)
    with session(settings) as state:
        access.admit(state, person_key, called.name, actor=actor, through=through)
        fresh = _links(state, person_key)
    records = shelf.read(person_key, settings)
    freshness = Freshness(
        last_synced_at=max((each.last_synced_at for each in fresh if each.last_synced_at), default=None),
        has_records=bool(records.rows),
        links=list(fresh),
    )
    return answer_type(called)(function=called.name, freshness=freshness, result=called.run(records, asked, now()))


def _links(state: Session, person_key: str) -> Sequence[LinkFreshness]:
    query = select(Link).where(Link.person_key == person_key, Link.status.not_in(("deleted", "pending", "failed")))
    return [
        LinkFreshness(
            link_id=link.id,
            provider=link.provider,
            route=link.route,
            status=link.status,
            last_synced_at=link.last_synced_at.isoformat() if link.last_synced_at else None,
        )
        for link in state.scalars(query.order_by(Link.created_at, Link.id))
    ]
