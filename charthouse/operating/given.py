"""What an operator gives of a server of their own: ids of patients and a token, as people write and save them.

Nothing of either is in an error: an id is a person's, and a token is a key.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charthouse.clock import now
from charthouse.errors import FetchError
from charthouse.partners.discovery import read_object
from charthouse.partners.token_endpoint import TokenSet

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL: Final = "all"
MOST_IDS_TEXT: Final = 16 * 2**20
MOST_TOKEN_TEXT: Final = 64 * 2**10
_BETWEEN: Final = re.compile(r"[\s,;]+")
_REFERENCE: Final = re.compile(r"(?:https?://\S*/)?Patient/([^/?#\s]+)(?:/_history/[^/]+)?/?")
_ID: Final = re.compile(r"[A-Za-z0-9\-._~|:=+]{1,255}")
"""Ids as servers really write them: longer than the standard's 64 characters, with underscores and others."""
_SCHEME: Final = re.compile(r"(?:authorization:\s*)?bearer\s+", re.IGNORECASE)


def patient_ids(given: Iterable[str]) -> tuple[str, ...] | None:
    """Ids from one or more texts, each once and in their order; None for `all`.

    Between ids are commas, semicolons or white space; `Patient/1` and whole addresses are ids, too. `@FILE` is a file
    of them, `@-` standard input; there, what follows a `#` is a remark.

    Raises:
        FetchError: CH137 for a text without ids, an id that cannot be one, a file that cannot be read.
    """
    words: list[str] = []
    for text in given:
        if text.strip().startswith("@"):
            lines = _file_text(text.strip()[1:]).splitlines()
            words += [word for line in lines for word in _BETWEEN.split(line.partition("#")[0])]
        else:
            words += _BETWEEN.split(text)
    words = [word.strip("\"'[]") for word in words]
    found = [word for word in words if word]
    if [word.casefold() for word in found] == [ALL]:
        return None
    ids = [_REFERENCE.sub(r"\1", word) for word in found]
    wrong = [place for place, name in enumerate(ids, start=1) if not _ID.fullmatch(name) or not name.strip(".")]
    if wrong:
        raise FetchError("CH137", what=f"no. {wrong[0]} of the list is no id")
    if any(name.casefold() == ALL for name in ids):
        raise FetchError("CH137", what="ids, and `all` beside them")
    if not ids:
        raise FetchError("CH137", what="there is no id in it")
    return tuple(dict.fromkeys(ids))


def token_of(file: str) -> TokenSet:
    """The access token that a file holds: alone, after `Bearer`, or in a token endpoint's JSON answer.

    Of an answer the patient, the scopes and the end are taken, too; the end counts from when the file was written. A
    refresh token is left alone: it belongs to whichever client got it.

    Raises:
        FetchError: CH138 for a file that cannot be read, holds no token, or one that has run out.
    """
    text, written = _token_text(file)
    said: dict[str, Any] = {}
    if text.startswith("{"):
        said = read_object(text.encode()) or {}
        text = said["access_token"] if isinstance(said.get("access_token"), str) else ""
    token = _SCHEME.sub("", text.strip().strip("\"'"), count=1)
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise FetchError("CH138", where=file, what="there is no access token in it")
    lasts = said.get("expires_in")
    ends = None
    if isinstance(lasts, int | float) and not isinstance(lasts, bool) and 0 < lasts < 10**9:
        ends = written + timedelta(seconds=float(lasts))
        if ends <= now():
            raise FetchError("CH138", where=file, what="it has run out")
    scope, patient = said.get("scope"), said.get("patient")
    return TokenSet(
        access_token=token,
        refresh_token=None,
        expires_at=ends,
        scope=scope if isinstance(scope, str) and scope else None,
        patient=patient if isinstance(patient, str) and _ID.fullmatch(patient) else None,
    )


def key_of(file: str) -> str:
    """The text of a file that holds a private key. What it is worth, `client_with_key` says.

    Raises:
        FetchError: CH138 for a file that cannot be read.
    """
    return _token_text(file)[0]


def _file_text(name: str) -> str:
    if not name:
        raise FetchError("CH137", what="@ without the name of a file")
    try:
        data = sys.stdin.buffer.read(MOST_IDS_TEXT + 1) if name == "-" else _head(name, MOST_IDS_TEXT)[0]
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise FetchError("CH137", where=name, what=error.strerror or "") from None
    except UnicodeDecodeError:
        raise FetchError("CH137", where=name, what="it is not UTF-8") from None
    if len(data) > MOST_IDS_TEXT:
        raise FetchError("CH137", where=name, what="it is too long")
    return text


def _token_text(name: str) -> tuple[str, datetime]:
    try:
        data, written = (
            (sys.stdin.buffer.read(MOST_TOKEN_TEXT + 1), now()) if name == "-" else _head(name, MOST_TOKEN_TEXT)
        )
        text = data.decode("utf-8-sig").strip()
    except OSError as error:
        raise FetchError("CH138", where=name, what=error.strerror or "") from None
    except UnicodeDecodeError:
        raise FetchError("CH138", where=name, what="it is not UTF-8") from None
    if len(data) > MOST_TOKEN_TEXT:
        raise FetchError("CH138", where=name, what="it is too long")
    return text, written


def _head(name: str, most: int) -> tuple[bytes, datetime]:
    """The first bytes of a file, one more than `most`, and when it was written."""
    with Path(name).expanduser().open("rb") as opened:
        written = datetime.fromtimestamp(Path(name).expanduser().stat().st_mtime, UTC)
        return opened.read(most + 1), written
