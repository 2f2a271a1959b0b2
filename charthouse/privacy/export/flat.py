"""Any resource, or any document of the account, as lines that a person can read: a name and a value each."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from charthouse.privacy.export.render import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST: Final = 120
LONGEST: Final = 1500
_LEFT_OUT: Final = frozenset(("resourceType", "div", "data", "meta"))
"""Said elsewhere, or of no use to people. Every file has all of it."""


def lines(value: Any, most: int = MOST) -> list[tuple[str, str]]:
    """The lines; what is beyond `most` is said to be elsewhere."""
    found: list[tuple[str, str]] = []
    for line in _walk(value, "", 0):
        if len(found) == most:
            found.append(("…", "The rest is in the files."))
            break
        found.append(line)
    return found


def title_of(resource: dict[str, Any]) -> str:
    """What a resource is about, in its own words."""
    for name in ("title", "name", "code", "type", "category", "description", "vaccineCode", "deviceName", "status"):
        said = _said(resource.get(name))
        if said:
            return shown(said, 200)
    return ""


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _said(value[0]) if value else ""
    if isinstance(value, dict):
        if isinstance(value.get("family"), str):
            given = value.get("given")
            first = " ".join(str(each) for each in given) if isinstance(given, list) else ""
            return f"{first} {value['family']}".strip()
        for name in ("text", "display", "name"):
            if isinstance(value.get(name), str):
                return str(value[name])
        return _said(value.get("coding"))
    return ""


def _walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > 12:
        return
    if isinstance(value, dict):
        if isinstance(value.get("value"), int | float | str) and isinstance(value.get("unit"), str) and len(value) <= 5:
            yield name, shown(f"{value['value']} {value['unit']}", LONGEST)
            return
        if isinstance(value.get("reference"), str) and len(value) <= 3:
            yield name, shown(value.get("display") or value["reference"], LONGEST)
            return
        if "coding" in value and isinstance(value.get("text"), str):
            yield name, shown(value["text"], LONGEST)
            return
        if isinstance(value.get("display"), str) and "code" in value and len(value) <= 4:
            code = shown(value["code"], 100)
            yield name, f"{shown(value['display'], LONGEST)} ({code})"
            return
        for key, each in value.items():
            if key in _LEFT_OUT or (key == "text" and isinstance(each, dict)):
                continue
            if key in ("extension", "modifierExtension") and isinstance(each, list):
                for extension in each:
                    yield from _walk(*_extension(extension, name), depth + 1)
                continue
            yield from _walk(each, f"{name} › {_words(key)}" if name else _words(key), depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each, name, depth + 1)
    elif value is None or value == "":
        return
    elif isinstance(value, bool):
        yield name, "yes" if value else "no"
    elif isinstance(value, datetime):
        yield name, f"{value:%Y-%m-%d %H:%M}"
    elif isinstance(value, date):
        yield name, value.isoformat()
    else:
        yield name, shown(value, LONGEST)


def _extension(extension: Any, name: str) -> tuple[Any, str]:
    """An extension by the last word of its address."""
    if not isinstance(extension, dict) or not isinstance(extension.get("url"), str):
        return extension, name
    word = _words(extension["url"].rstrip("/").rpartition("/")[2].replace("-", " ").removeprefix("us core "))
    rest = {key: each for key, each in extension.items() if key != "url"}
    value = next(iter(rest.values())) if len(rest) == 1 and next(iter(rest)).startswith("value") else rest
    return value, f"{name} › {word}" if name else word


def _words(key: object) -> str:
    text = "".join(f" {sign.lower()}" if sign.isupper() else sign for sign in shown(key, 60)).replace("_", " ").strip()
    return text[:1].upper() + text[1:]
