"""The guard's rules and standing answers, read from `schemas/coach/guard.json` and `guard_answers.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from transforms.coach.standing import Call, Verdict
from transforms.coach.words import Lexicon

if TYPE_CHECKING:
    from collections.abc import Mapping

UNCLEAR = "unclear"
"""The answer to what is no question of the records, and may be anything: it names whom to call, too."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Met where all concepts of `near` stand within so many words, and none of `unless` is in the same text.

    `answer` names the standing answer, `because` the reason; `urgency` is lowest where an answer comes before others.
    `anywhere`: looked for in the whole text, across its sentences; otherwise in each sentence by itself.
    """

    answer: str
    because: str
    near: tuple[str, ...]
    within: int
    unless: tuple[str, ...]
    anywhere: bool
    urgency: int
    words: int
    """Of how many words a sentence is at least that the rule is for."""


@cache
def rules() -> tuple[Rule, ...]:
    """All rules, the most urgent first."""
    content = _content("guard")
    order = {answer: place for place, answer in enumerate(content["urgency"])}
    made = [
        Rule(
            answer=each["answer"],
            because=each["because"],
            near=tuple(each["near"]),
            within=each.get("within", content["within"]),
            unless=tuple(each.get("unless", ())),
            anywhere=each["answer"] in content["anywhere"],
            urgency=order[each["answer"]],
            words=each.get("words", 0),
        )
        for each in content["rules"]
    ]
    return tuple(sorted(made, key=lambda rule: rule.urgency))


@cache
def concept(name: str) -> Lexicon:
    """The words and phrases of a concept; `@other` among them stands for another concept's."""
    return Lexicon(
        _phrases(name, "concepts"), tuple(_split(each) for each in _content("guard")["not_in"].get(name, ()))
    )


@cache
def real_words() -> frozenset[str]:
    """Words that resemble one of a rule's, and are no slip."""
    return frozenset(_content("guard")["real_words"])


@cache
def answers() -> Mapping[str, Verdict]:
    """The standing answers by their names."""
    return {
        name: Verdict(
            kind=said["kind"], message=said["text"], calls=tuple(Call(**call) for call in said["calls"]), rule=name
        )
        for name, said in _content("guard_answers")["answers"].items()
    }


def declaration() -> str:
    """What the coach is for, and what it is not."""
    text: str = _content("guard_answers")["declaration"]
    return text


def _phrases(name: str, table: str) -> tuple[tuple[str, ...], ...]:
    found: dict[tuple[str, ...], None] = {}
    for each in _content("guard")[table][name]:
        if each.startswith("@"):
            found.update(dict.fromkeys(_phrases(each[1:], table)))
        else:
            found[_split(each)] = None
    return tuple(found)


def _split(phrase: str) -> tuple[str, ...]:
    return tuple(phrase.split())


@cache
def _content(name: str) -> dict[str, Any]:
    text = files("schemas").joinpath("coach", f"{name}.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read
