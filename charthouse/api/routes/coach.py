"""The coach's functions, a route each: made from their declarations (`charthouse.coach.functions`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request

from charthouse.api.callers import Calling, actor_of, reach_person, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import PersonKey, refusals
from charthouse.coach.answering import answer, answer_type
from charthouse.coach.functions import FUNCTIONS
from charthouse.state import session

if TYPE_CHECKING:
    from collections.abc import Callable

    from charthouse.coach.functions import Function

router = APIRouter(route_class=Guarded, tags=["coach"])


def _route(called: Function) -> Callable[..., Any]:
    def asked_for(person_key: str, request: Request, caller: Any, asked: Any = None) -> Any:
        settings = settings_of(request)
        with session(settings, read_only=True) as state:
            reach_person(state, caller, person_key)
        given = asked if asked is not None else {}
        return answer(person_key, called.name, given, actor=actor_of(caller), through="api", settings=settings)

    # FastAPI reads what a route takes from its annotations: here they are the function's own.
    annotations: dict[str, Any] = {"person_key": PersonKey, "request": Request, "caller": Calling}
    if called.asked.model_fields:
        annotations["asked"] = Annotated[called.asked, Query()]
    else:
        asked_for = _without_parameters(asked_for)
    asked_for.__annotations__ = annotations | {"return": answer_type(called)}
    asked_for.__name__ = called.tool
    asked_for.__doc__ = called.description
    return asked_for


def _without_parameters(asked_for: Callable[..., Any]) -> Callable[..., Any]:
    def alone(person_key: str, request: Request, caller: Any) -> Any:
        return asked_for(person_key, request, caller)

    return alone


for _each in FUNCTIONS:
    router.add_api_route(
        f"/people/{{person_key}}/coach/{_each.name}",
        _route(_each),
        methods=["GET"],
        operation_id="coach" + "".join(word.capitalize() for word in _each.name.split("-")),
        summary=_each.title,
        response_model_exclude_none=True,
        responses=refusals(403, 404, 422),
    )
