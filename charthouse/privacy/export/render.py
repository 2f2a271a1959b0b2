"""The pages of an export as HTML that is safe to open: everything of a record is text, nothing comes from outside.

The policy in each page permits our one style sheet and our one script, by their hashes, and nothing else: no image, no
frame, no form, no request. With scripts off the pages are whole; the searches alone are missing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from markupsafe import Markup

from charthouse.pages import templates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

FOLDER: Final = Path(__file__).parent / "pages"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Direction marks can turn the text around them; what is left of a control character says nothing.
_UNSEEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def render(name: str, **values: Any) -> bytes:
    """A page from its template."""
    style, script, policy = _parts()
    made = templates(FOLDER).get_template(name).render(style=style, script=script, policy=policy, **values)
    return made.encode("utf-8", "replace")


def shown(text: object, most: int = 5000) -> str:
    """A text of a record as it is shown: without control and direction marks, and not for ever."""
    said = _UNSEEN.sub("\ufffd", str(text))
    return said if len(said) <= most else f"{said[:most]} … ({len(said):,} characters; the whole is in the files)"


def day(value: datetime | None, precision: str | None) -> str:
    """A date as exact as it is, for people."""
    if value is None:
        return ""
    if precision == "year":
        return f"{value.year}"
    if precision == "month":
        return f"{_MONTHS[value.month - 1]} {value.year}"
    written = f"{_MONTHS[value.month - 1]} {value.day}, {value.year}"
    return written if precision == "day" else f"{written}, {value:%H:%M}"


def data_block(value: Mapping[str, Any]) -> Markup:
    """JSON that can stand inside a page: no sign in it ends the block."""
    written = orjson.dumps(value).decode("utf-8", "replace")
    for sign in "<>&\u2028\u2029":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(written)  # noqa: S704 - its sharp signs are written out


@cache
def _parts() -> tuple[Markup, Markup, str]:
    style = (FOLDER / "style.css").read_text(encoding="utf-8").strip()
    script = (FOLDER / "search.js").read_text(encoding="utf-8").strip()
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    policy = (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Markup(style), Markup(script), policy  # noqa: S704 - our own files
