"""Logs: structlog on top of the standard library, with a redactor that nothing of a person passes.

Loggers made here do not depend on structlog's global configuration, which belongs to Airflow inside a task: there the
redacted line goes on through standard logging to the task's log. `configure_logging()` is for our own processes.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from charthouse.clock import now
from charthouse.errors import CharthouseError
from charthouse.later import later
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from io import TextIOWrapper
    from typing import TextIO

    import structlog

    from charthouse.settings import Settings

REDACTED = "[redacted]"
LONGEST = 300
DEEPEST = 4

# Whole keys that may carry something of a person or of a record …
_KEYS = re.compile(
    r"address|birth(_?date)?|body|bundle|city|code_verifier|content|data|display|dob|email|family|gender|given|headers"
    r"|identifier|line|login_hint|mrn|narrative|note|passphrase|patient(_?id)?|payload|person|phone|postal_code|raw"
    r"|resource|response|sex|ssn|street|subject|telecom|text|url|values?|zip|((first|full|given|last)_)?names?"
)
# … and parts of keys that mean a secret, wherever they stand.
_SECRET_PARTS = frozenset(
    {"token", "tokens", "secret", "password", "authorization", "cookie", "jwt", "assertion", "pin"}
)

_SCHEME = re.compile(r"(?i)\b(bearer|basic|dpop)\s+[^\s,;'\"]+")
_JWT = re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*){1,4}")
_ASSIGNED = re.compile(
    r"(?i)\b((?:access|refresh|id)_token|client_secret|client_assertion|password|code_verifier|code|assertion)"
    r"(\"?\s*[=:]\s*\"?)[^\s&\"',}]+"
)
_OPAQUE = re.compile(r"(?<![\w/+-])(?=[\w+-]*[a-z])(?=[\w+-]*[A-Z])(?=[\w+-]*\d)[\w+-]{32,}={0,2}")
_QUERY = re.compile(r"(https?://[^\s?#'\"]+)[?#][^\s'\"]*")
_PATIENT = re.compile(r"\b(Patient|Person|RelatedPerson)/[^/?#|\s\"'<>,;)\]}]+")
_RESOURCE = re.compile(r"[\"']resourceType[\"']|<\?xml|<div\b")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def scrub(value: Any, depth: int = 0) -> Any:
    """`value` as it may be logged: plain, short, and without what looks like a token, a record or a patient's id."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _scrub_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[redacted: {len(value)} bytes]"
    if isinstance(value, datetime | date | UUID):
        return str(value)
    if isinstance(value, PurePath):
        return _scrub_text(str(value))
    if isinstance(value, CharthouseError):
        return _scrub_text(str(value))
    if depth < DEEPEST and isinstance(value, dict):
        return {_scrub_text(str(key)): scrub_item(str(key), item, depth + 1) for key, item in value.items()}
    if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [scrub(item, depth + 1) for item in value]
    return f"<{type(value).__name__}>"


def scrub_item(key: str, value: Any, depth: int = 0) -> Any:
    """`value` as it may be logged under `key`; not at all where the key says what it is."""
    words = [word.lower() for word in _WORDS.split(key) if word]
    if value is not None and (_KEYS.fullmatch("_".join(words)) or not _SECRET_PARTS.isdisjoint(words)):
        return REDACTED
    return scrub(value, depth)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The structlog processor that every event passes, ours and those of libraries."""
    return {key: value if key.startswith("_") else scrub_item(key, value) for key, value in event.items()}


def name_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Exceptions by class and place. Their texts may quote what they stumbled over; only our own are free of values."""
    info = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    chain: list[str] = []
    while isinstance(error, BaseException) and len(chain) < DEEPEST:
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        what = str(error) if isinstance(error, CharthouseError) else type(error).__qualname__
        places = " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
        chain.append(f"{what} at {places}" if places else what)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if chain:
        event["exception"] = chain
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger: `get_logger(__name__).info("batch stored", batch=name, resources=17)`.

    structlog brings rich and asyncio along: it is imported by whoever has something to say.
    """
    return later(partial(_logger, name))


def _logger(name: str) -> structlog.stdlib.BoundLogger:
    import structlog

    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            name_exception,
            redact,
            _to_record,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    return wrapped


def log_file(settings: Settings | None = None) -> Path | None:
    """The file that commands log to, one a month; None for the error output."""
    settings = settings or get_settings()
    if settings.log_file == "-":
        return None
    return Path(settings.log_file or settings.home / "logs" / f"charthouse-{now():%Y%m}.log")


def configure_logging(stream: TextIO | None = None, *, console: bool | None = None, file: Path | None = None) -> None:
    """Send every log of this process to `stream` (stderr): for reading on a terminal, as a JSON line otherwise.

    With `file` they go there, as JSON, and to `stream` where it cannot be written. Libraries are heard from WARNING on,
    and pass the redactor as well.
    """
    stream = stream or sys.stderr
    if console is None:
        console = stream.isatty()
    handler: logging.Handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(partial(_for_terminals, stream) if console else _for_programs))
    if file is not None:
        handler = _File(file, handler)
        handler.setFormatter(_Formatter(_for_programs))
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known.formatter, _Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("charthouse").setLevel(get_settings().log_level.upper())


def _for_programs() -> Any:
    import structlog

    return structlog.processors.JSONRenderer(sort_keys=True)


def _for_terminals(stream: TextIO) -> Any:
    import structlog
    from rich.console import Console  # it knows of NO_COLOR and of terminals without colour

    return structlog.dev.ConsoleRenderer(colors=Console(file=stream).color_system is not None)


class _File(logging.FileHandler):
    """A file for its owner alone, opened by the first line: a command that says nothing leaves none."""

    def __init__(self, file: Path, instead: logging.Handler) -> None:
        super().__init__(file, encoding="utf-8", delay=True)
        self._instead: logging.Handler | None = None
        self._fallback = instead

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; where there is no such folder, or it may not be written, by the other handler."""
        if self.stream is None and self._instead is None:
            try:
                self.stream = self._open()
            except OSError:
                self._instead = self._fallback
        if self._instead is not None:
            self._instead.emit(record)
        else:
            super().emit(record)


class _Formatter(logging.Formatter):
    """One record as one line. Records of libraries are redacted here; ours were before they became records."""

    def __init__(self, make_renderer: Callable[[], Any]) -> None:
        super().__init__()
        self._renderer = cache(make_renderer)

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = dict(getattr(record, "charthouse_event", {}))
        if not event:
            foreign = name_exception(None, "", {"event": _message(record), "exc_info": record.exc_info})
            event = dict(redact(None, "", dict(foreign)))
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event |= {"level": record.levelname.lower(), "logger": record.name, "timestamp": at}
        return str(self._renderer()(None, record.levelname.lower(), event))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


def _to_record(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """The event as a readable line for whatever handler is there, with its parts beside it for ours.

    Without `exc_info`, which `Logger.exception` would add for itself and handlers print with all its text.
    """
    fields = {key: value for key, value in event.items() if key != "event"}
    line = " ".join([str(event.get("event", "")), *(f"{key}={value}" for key, value in fields.items())])
    return (line,), {"exc_info": False, "extra": {"charthouse_event": dict(event)}}


def _scrub_text(text: str) -> str:
    if _RESOURCE.search(text):
        return f"[redacted: {len(text)} characters]"
    if len(text) > LONGEST:
        return f"[redacted: {len(text)} characters]"
    text = _QUERY.sub(r"\1?" + REDACTED, text)
    text = _SCHEME.sub(r"\1 " + REDACTED, text)
    text = _JWT.sub(REDACTED, text)
    text = _ASSIGNED.sub(r"\1\2" + REDACTED, text)
    text = _OPAQUE.sub(REDACTED, text)
    return _PATIENT.sub(r"\1/" + REDACTED, text)
