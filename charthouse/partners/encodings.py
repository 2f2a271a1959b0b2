"""The encodings in which bodies travel (RFC 9110 §8.4.1): unpacked never further than permitted, torn ones told apart.

Only what can be stopped while it is unpacked is asked for: gzip (RFC 1952) and Zstandard with the window that RFC 9659
permits for HTTP. Each of them is a row of frames, gzip's members; an honest answer has one.
"""

from __future__ import annotations

import sys
import zlib
from typing import Final, Protocol

from backports import zstd

ACCEPTED: Final = "gzip, zstd"
MAX_FRAMES: Final = 64
"""Most frames of one answer: each costs a copy of those behind it."""
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
_WINDOW_LOG: Final = 23
"""RFC 9659 §3: a decoder need not hold more than 8 MB; who asks for more is not served."""


class TooLargeError(Exception):
    """A body is larger than permitted. Another try cannot help."""


class TornError(Exception):
    """A body is not whole, or not what it is said to be. Another try may help."""


class UnknownEncodingError(Exception):
    """A body came in an encoding that was not asked for."""


class Frame(Protocol):
    """What both libraries have in common: a frame unpacked piece by piece."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def opened(head: bytes) -> Frame | None:
    """A way to unpack the frame that begins like this; None where none does."""
    if head.startswith(GZIP):
        return zlib.decompressobj(wbits=31)
    if head.startswith(ZSTD):
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    return None


def packed(body: bytes) -> bytes:
    """A body as one frame, by what packs fastest."""
    return zstd.compress(body, level=1)


def unpacked(body: bytes, encoding: str, most: int) -> tuple[bytes, bytes | None]:
    """A body without its encoding, and the one frame that it came as, if it came as exactly one.

    Raises:
        TooLargeError: it holds more than `most` bytes, or frames without end.
        TornError: it is cut short, or not in that encoding.
        UnknownEncodingError: the encoding is neither gzip nor zstd.
    """
    begins = _BEGINS.get(encoding.strip().lower())
    if begins is None:
        raise UnknownEncodingError
    if not begins or not body:
        return body, None
    parts: list[bytes] = []
    rest, left = body, most
    while rest.startswith(begins) or not parts:
        if len(parts) == MAX_FRAMES:
            raise TooLargeError
        frame = opened(rest)
        if frame is None:
            raise TornError
        parts.append(pieced(frame, rest, left))
        left -= len(parts[-1])
        if not frame.eof:
            raise TornError
        rest = frame.unused_data
    return (parts[0], None if rest else body) if len(parts) == 1 else (b"".join(parts), None)


def pieced(frame: Frame, data: bytes, left: int) -> bytes:
    """What a frame holds, or the next piece of it, `left` bytes at most.

    Raises:
        TooLargeError: it is more.
        TornError: it is damaged.
    """
    try:
        piece = frame.decompress(data, min(left, sys.maxsize - 1) + 1)
    except (zlib.error, zstd.ZstdError, EOFError):
        raise TornError from None
    if len(piece) > left:
        raise TooLargeError
    return piece


_BEGINS: Final[dict[str, bytes]] = {"": b"", "identity": b"", "gzip": GZIP, "x-gzip": GZIP, "zstd": ZSTD}
