"""Tables as CSV that a spreadsheet opens without running anything, and as Parquet.

A cell that a spreadsheet would take for a formula is preceded by an apostrophe (OWASP, CSV injection); a number stays a
number, a negative one too.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

BOM: Final = b"\xef\xbb\xbf"
"""Spreadsheets read UTF-8 where it begins with this."""
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def cell(value: object) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        value = " ".join(str(each) for each in value)
    text = str(value).replace("\0", "")
    # What stands behind blanks is looked at by spreadsheets, too.
    if text.lstrip(" \u00a0\ufeff\u200b").startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def line(values: Sequence[Any]) -> bytes:
    """One row (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([cell(value) for value in values])
    return out.getvalue().encode("utf-8", "replace")


def header(names: Sequence[str]) -> bytes:
    """The first row, with the mark that says that it is UTF-8."""
    return BOM + line(names)
