"""The only place where text becomes SQL: quoting of strings and names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
"""A literal or a quoted name, which holds no SQL."""

_SPLIT = re.compile(f"({QUOTED.pattern})")
_PATH = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\])*"
_SIMPLE = re.compile(_PATH + r"\Z")
_TEXT = re.compile(rf"(?:CAST\({_PATH} AS VARCHAR\)|{_PATH})\Z")


def text(value: str) -> str:
    """A string as a SQL literal. A NUL, which no SQL text may hold, is spelled with chr(0)."""
    value.encode()  # a lone surrogate is no text: UnicodeEncodeError
    quoted = "'" + value.replace("'", "''") + "'"
    return "(" + quoted.replace("\0", "' || chr(0) || '") + ")" if "\0" in value else quoted


def name(value: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + value.replace('"', '""') + '"'


def member(base: str, name_: str) -> str:
    """`base.name`, quoted where need be."""
    return f"{base}.{name_ if _PLAIN.match(name_) else name(name_)}"


def changed(text: str, change: Callable[[str], str]) -> str:
    """SQL with everything changed but its literals and quoted names."""
    return "".join(part if i % 2 else change(part) for i, part in enumerate(_SPLIT.split(text)))


def indented(text: str) -> str:
    """SQL moved to the right, but for the line ends within literals and names."""
    return changed(text, lambda part: part.replace("\n", "\n  "))


def may_be_container(text: str) -> str:
    """Whether a text begins like a JSON array or object; a cheap question, before json_valid() is asked."""
    return f"ascii({text}) IN (91, 123)"  # [ and {


def is_simple(expression: str) -> bool:
    """Whether an expression is a mere path of names and positions, or the text of one, which costs nothing."""
    return _TEXT.match(expression) is not None


def field(base: str, member: str) -> str:
    """`base.member`, for a member that R4 names (a plain word, so no quoting is due after the dot)."""
    if not _PLAIN.match(member):
        msg = f"not a field name: {member!r}"
        raise ValueError(msg)
    return f"{base}.{member}" if _SIMPLE.match(base) else f"({base}).{member}"
