"""CH7xx: telling people."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = ()
