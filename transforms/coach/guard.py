"""The guard: what a personal health coach does not answer, told from the words of a question.

It serves wellness only. A question that asks for a diagnosis, or to start, stop or dose a medication, or that speaks of
an emergency gets a standing answer, as data, and nothing from anybody's records. The rules are data
(`schemas/coach/guard.json`): concepts are lists of words and phrases, and a rule is met where its concepts stand near
each other. Nothing of a question is kept.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING

from transforms.coach import guard_rules
from transforms.coach.words import Words, sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transforms.coach.guard_rules import Rule
    from transforms.coach.standing import Verdict

SENTENCES = 50
"""Most sentences of a question: what has more is none, and is not looked through for ever."""
Span = tuple[int, int]
"""The first and the last word of where something stands."""


def stopped(*texts: str) -> Verdict | None:
    """The standing answer that a call with these texts gets, or None where it may pass.

    Where several rules are met, the most urgent one counts: an emergency before anything else.
    """
    found: Rule | None = None
    for text in texts:
        for rule in _met(text):
            if found is None or rule.urgency < found.urgency:
                found = rule
    if found is None:
        return None
    answer = guard_rules.answers()[found.answer]
    return answer.model_copy(update={"rule": f"{found.answer}.{found.because}"})


@cache
def declared() -> str:
    """What the coach is for, in a paragraph for whoever instructs an assistant."""
    return guard_rules.declaration()


def _met(text: str) -> Iterable[Rule]:
    rules = guard_rules.rules()
    whole = Words(text)
    yield from (rule for rule in rules if rule.anywhere and _holds(rule, whole))
    parts = set(sentences(text))
    if len(parts) > SENTENCES:
        yield from (rule for rule in rules if rule.answer == guard_rules.UNCLEAR)
        return
    for sentence in parts:
        words = Words(sentence)
        yield from (rule for rule in rules if not rule.anywhere and _holds(rule, words))


def _holds(rule: Rule, words: Words) -> bool:
    """Whether each concept of the rule is in the words, all of them within the rule's reach."""
    if len(words) < rule.words:
        return False
    groups = []
    for concept in rule.near:
        spans = words.spans(guard_rules.concept(concept))
        if not spans:
            return False
        groups.append(spans)
    if any(words.spans(guard_rules.concept(name)) for name in rule.unless):
        return False
    return _close(groups, rule.within)


def _close(groups: Sequence[Sequence[Span]], within: int) -> bool:
    """Whether one span of each group, no two of them sharing a word, fit into `within` words.

    A look from each span of the first group alone, so that a long text costs no more than its length.
    """
    first, *others = groups
    return any(_reach(start, others, within) for start in first)


def _reach(start: Span, others: Sequence[Sequence[Span]], within: int) -> bool:
    taken = [start]
    for group in others:
        near = [
            span
            for span in _around(group, start, within)
            if all(span[1] < each[0] or span[0] > each[1] for each in taken)
        ]
        if not near:
            return False
        taken.append(min(near, key=lambda span: abs(span[0] - start[0])))
    return max(span[1] for span in taken) - min(span[0] for span in taken) < within


def _around(group: Sequence[Span], start: Span, within: int) -> list[Span]:
    begin = bisect_left(group, (start[0] - within, 0))
    found = []
    for span in group[begin:]:
        if span[0] > start[1] + within:
            break
        found.append(span)
    return found
