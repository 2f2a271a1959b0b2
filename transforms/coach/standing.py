"""The standing answer: what is said in place of facts where a question is no matter of wellness."""

from __future__ import annotations

from typing import Literal

from transforms.coach.results import Shape


class Call(Shape):
    """A number to call, and what it is."""

    number: str
    name: str


class Verdict(Shape):
    """Why a question is not answered here, and what to do instead. `rule` names the rule that found it."""

    kind: Literal["diagnosis", "treatment", "emergency"]
    message: str
    calls: tuple[Call, ...] = ()
    rule: str
