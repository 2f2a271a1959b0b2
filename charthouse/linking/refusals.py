"""What a person is told when a link cannot be made, or ended: a title, what happened, and what they can do.

The texts are data, a language a file (`data/messages.en.json`); a language without a file, and a text it lacks, come
in English. They never say a name, a date or a provider, and nothing that only an operator would understand.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

DEFAULT_LANGUAGE: Final = "en"
UNKNOWN: Final = "unknown"


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text for a person; `action` is what they can do."""

    title: str
    text: str
    action: str


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    messages: dict[str, Message]
    codes: dict[str, str] = {}


def message_for(code_or_reason: str, language: str = DEFAULT_LANGUAGE) -> Message:
    """The text for an error's number (`CH611`) or a reason code (`authorization_ended`); a general one otherwise."""
    english, chosen = _catalogue(DEFAULT_LANGUAGE), _catalogue(language)
    reason = english.codes.get(code_or_reason, code_or_reason)
    for catalogue in (chosen, english):
        if reason in catalogue.messages:
            return catalogue.messages[reason]
    return chosen.messages.get(UNKNOWN, english.messages[UNKNOWN])


def has_message(code_or_reason: str) -> bool:
    """Whether there is a text of its own for it."""
    english = _catalogue(DEFAULT_LANGUAGE)
    return english.codes.get(code_or_reason, code_or_reason) in english.messages


@cache
def languages() -> tuple[str, ...]:
    """The languages there are texts in."""
    names = (file.name.split(".") for file in files("charthouse.linking.data").iterdir())
    return tuple(sorted(name[1] for name in names if name[0] == "messages" and name[-1] == "json"))


def _catalogue(language: str) -> _Catalogue:
    """The texts of a language: `pt-BR`, else `pt`, else English."""
    known = {name.lower(): name for name in languages()}
    asked = language.replace("_", "-").lower()
    return _read(known.get(asked) or known.get(asked.split("-")[0]) or DEFAULT_LANGUAGE)


@cache
def _read(language: str) -> _Catalogue:
    text = files("charthouse.linking.data").joinpath(f"messages.{language}.json").read_bytes()
    return msgspec.json.decode(text, type=_Catalogue)
