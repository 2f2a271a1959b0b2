"""CH61x to CH65x: who may link, signing in, credentials and providers."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = ()
