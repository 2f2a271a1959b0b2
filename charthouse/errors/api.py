"""CH8xx: the REST API and its tokens."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = ()
