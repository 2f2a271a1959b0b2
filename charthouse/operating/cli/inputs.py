"""What is read from a file or from standard input, because a command line is seen by everybody on the machine."""

from __future__ import annotations

import sys
from pathlib import Path

from charthouse.errors import LinkError


def read_input(file: str, code: str, *, most: int = 64 * 2**10) -> str:
    """The text of a file, or of standard input for `-`.

    Raises:
        LinkError: `code` when it cannot be read, or is longer than what is read there ever is.
    """
    try:
        data = sys.stdin.buffer.read(most + 1) if file == "-" else _head(Path(file).expanduser(), most + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise LinkError(code, where=file, what=error.strerror or "") from None
    except UnicodeDecodeError:
        raise LinkError(code, where=file, what="it is not UTF-8") from None
    if len(data) > most:
        raise LinkError(code, where=file, what="it is too long")
    return text


def _head(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(most)
