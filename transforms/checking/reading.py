"""The JSON of one resource, read: numbers of any size, and whether a name stands twice in one object.

`orjson` reads what is usual. It refuses numbers beyond a DOUBLE, which JSON permits, and takes the last of two members
of one name, where other readers take the first; both are looked at more slowly here.
"""

from __future__ import annotations

import json
from math import isinf
from typing import Any, Final, Literal, NoReturn

import orjson

from transforms.torn_json import has_half_pair

Twice = Literal["same", "different"] | None

GREATEST: Final = 10**400
"""What stands for a number beyond a DOUBLE while a resource is checked: its text says what was sent."""
_LONGEST: Final = 400


def read(raw: bytes) -> tuple[Any, bool]:
    """The value, and whether it holds a number beyond a DOUBLE.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(raw), False
    except orjson.JSONDecodeError as error:
        if "infinity" not in str(error) or has_half_pair(raw):
            raise
    try:
        return json.loads(raw, parse_float=_decimal, parse_int=_integer, parse_constant=_constant), True
    except RecursionError:
        raise ValueError("nested too deeply") from None


def named_twice(raw: bytes, value: Any) -> Twice:
    """Whether an object of the text holds two members of one name, and whether they agree. `value` is what was read."""
    try:
        # Written anew, each name stands once; what stood twice had two quotes more. A quote in a text is escaped, and
        # hardly anybody writes that in hex.
        if raw.count(b'"') == orjson.dumps(value).count(b'"') and b"\\u0022" not in raw:
            return None
    except TypeError:
        pass  # a number beyond 64 bits, or too deep
    found: list[Twice] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            found.append("same" if all(members[name] == each for name, each in pairs) else "different")
        return members

    try:
        json.loads(raw, object_pairs_hook=unique, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return "different" if "different" in found else "same" if found else None


def beyond(value: Any) -> bool:
    """Whether a number that was read stands for one beyond a DOUBLE."""
    return isinstance(value, int) and abs(value) >= GREATEST


def _decimal(text: str) -> float | int:
    number = float(text)
    return (GREATEST if number > 0 else -GREATEST) if isinf(number) else number


def _integer(text: str) -> int:
    if len(text) < _LONGEST:
        return int(text)
    return -GREATEST if text.startswith("-") else GREATEST


def _constant(text: str) -> NoReturn:
    raise ValueError(text)
