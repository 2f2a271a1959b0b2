"""The texts that people read: a folder a language, each text a template, and English where a language lacks one."""

from __future__ import annotations

import tomllib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment, Template

TEMPLATES: Final = Path(__file__).with_name("templates")
FALLBACK: Final = "en"
TEXTS: Final = ("title", "push", "text", "action")


def languages() -> list[str]:
    """The languages there is a folder for."""
    return sorted(folder.name for folder in TEMPLATES.iterdir() if (folder / "notices.toml").is_file())


@cache
def catalogue(language: str) -> Mapping[str, Any]:
    """The texts of a language: those of its own folder, else of `pt` for `pt-BR`, over the English ones."""
    known = languages()
    near = language if language in known else language.partition("-")[0]
    english = _read(FALLBACK)
    return _over(english, _read(near)) if near in known and near != FALLBACK else english


def language_of(language: str) -> str:
    """The language that `language` is told in, for the `lang` of a page."""
    near = language if language in languages() else language.partition("-")[0]
    return near if near in languages() else FALLBACK


def source(language: str, kind: str, reason: str, text: str) -> str:
    """The template of one text of a kind (`title`, `push`, `text`, `action`), for its reason where that has its own."""
    entry = catalogue(language)[kind]
    special = entry.get("reasons", {}).get(reason, {})
    return str(special.get(text, entry.get(text, ""))).strip()


def instant(at: str, language: str, time_zone: str) -> str:
    """An instant of a notice's detail (ISO 8601), as people of that language and zone write it; empty for none."""
    try:
        local = datetime.fromisoformat(at).astimezone(ZoneInfo(time_zone))
    except (ValueError, TypeError):
        return ""
    return local.strftime(catalogue(language)["words"]["when"])


@cache
def layout(name: str) -> Template:
    """A layout of mails: `mail.html`, which escapes what it is given, or `mail.txt`."""
    return _environment(escaping=name.endswith(".html")).get_template(name)


@cache
def template(text: str) -> Template:
    """One text, compiled. It is plain: whatever shows it escapes it."""
    return _environment(escaping=False).from_string(text)


@cache
def _environment(*, escaping: bool) -> Environment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=escaping,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _read(language: str) -> Mapping[str, Any]:
    with (TEMPLATES / language / "notices.toml").open("rb") as file:
        return tomllib.load(file)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables laid over each other, entry by entry."""
    both = dict(below)
    for key, value in above.items():
        known = both.get(key)
        both[key] = _over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both
