"""Notices as people read them: a push notice, a mail, the one mail a day.

What is read on lock screens (titles, subjects, push texts, the glance that mail programs take from a mail's beginning)
names no provider; a push text does where its person chose that. Nothing here knows anything of a record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from charthouse.notify.catalogue import TEXTS, catalogue, instant, language_of, layout, source, template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from charthouse.notify.preferences import Preferences
    from charthouse.settings import Settings
    from charthouse.state.notices import NoticeKind

NAME_MOST: Final = 80
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\s]+")
"""What a name must not do to a text: break its line, or turn its direction."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a notice is about. `provider` is a name as its operator wrote it; `detail` is the notice's."""

    kind: NoticeKind
    reason: str
    provider: str | None = field(repr=False)
    detail: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """One notice in words: a title, the text of a push notice, the paragraphs of a mail, what to do (or nothing)."""

    title: str
    push: str
    paragraphs: tuple[str, ...]
    action: str


@dataclass(frozen=True, slots=True)
class Page:
    """A mail, before it is addressed: one line as its subject, and two forms of the same text."""

    subject: str
    plain: str = field(repr=False)
    html: str = field(repr=False)


def letter(facts: Facts, wish: Preferences, settings: Settings, *, named: bool) -> Letter:
    """A notice in its person's language. With `named`, texts call the provider by its name; titles never do.

    Raises:
        jinja2.TemplateError: a text of ours is at fault.
    """
    return _letter(
        wish.language,
        facts.kind,
        facts.reason,
        _one_line(facts.provider or "")[:NAME_MOST] if named else "",
        _one_line(settings.service_name),
        instant(facts.detail.get("ends_at", ""), wish.language, wish.time_zone),
        facts.detail.get("count", 1),
    )


@lru_cache(maxsize=1024)
def _letter(language: str, kind: str, reason: str, name: str, service: str, ends: str, count: int) -> Letter:
    """The same of plain values: many people are told the same."""
    words = catalogue(language)["words"]
    unnamed = {"provider": words["provider"], "Provider": words["provider"][:1].upper() + words["provider"][1:]}
    unnamed |= {"named": False, "service": service, "ends": ends, "count": count}
    named = unnamed | {"provider": name, "Provider": name, "named": True} if name else unnamed
    said = {
        text: template(source(language, kind, reason, text)).render(unnamed if text == "title" else named)
        for text in TEXTS
    }
    paragraphs = tuple(line.strip() for line in said["text"].splitlines() if line.strip())
    return Letter(_one_line(said["title"]), _one_line(said["push"]), paragraphs, _one_line(said["action"]))


def page(letters: Sequence[Facts], wish: Preferences, settings: Settings, *, leave_url: str, digest: bool) -> Page:
    """A mail of one notice, or the daily one of several. `leave_url` is empty where no page takes it.

    Raises:
        jinja2.TemplateError: a text of ours is at fault.
    """
    said = [letter(facts, wish, settings, named=True) for facts in letters]
    words = catalogue(wish.language)["words"]
    texts = catalogue(wish.language)["digest"]
    service = _one_line(settings.service_name)
    said_words = {key: template(text).render(service=service) for key, text in words.items()}
    context = {
        "language": language_of(wish.language),
        "subject": texts["title"] if digest else said[0].title,
        "glance": texts["push"] if digest else letter(letters[0], wish, settings, named=False).push,
        "summary": texts["text"] if digest else "",
        "letters": said,
        "words": said_words,
        "service": service,
        "app_url": settings.app_url,
        "leave_url": leave_url,
        "leave": said_words["leave_digest" if digest else "leave"],
    }
    return Page(
        subject=str(context["subject"]),
        plain=re.sub(r"\n{3,}", "\n\n", layout("mail.txt").render(context)),
        html=layout("mail.html").render(context),
    )


def _one_line(text: str) -> str:
    return _UNSEEN.sub(" ", text).strip()
