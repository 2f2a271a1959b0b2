"""The terminal: the console that people read, and the signals by which they stop what they started."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

PIPE_WIDTH = 200
"""Columns for prose and pages in a pipe or a log, and for tables on a narrow terminal, which folds them."""
WHOLE = 100_000
"""Columns for tables in a pipe: programs read them, and nothing is cut off or folded."""


def console() -> Console:
    """A console on standard output: as wide as its terminal, and wide enough for our tables in a pipe or a log.

    rich itself obeys NO_COLOR and leaves colours out of pipes.
    """
    from rich.console import Console

    out = Console()
    return out if out.is_terminal else Console(width=PIPE_WIDTH)


def page() -> Console:
    """A console for tables. A terminal folds a line that is too long; rich would leave columns out."""
    from rich.console import Console

    out = Console()
    if not out.is_terminal:
        return Console(width=WHOLE)
    return out if out.width >= PIPE_WIDTH else Console(width=PIPE_WIDTH)


@contextmanager
def step(out: Console, text: str) -> Iterator[None]:
    """Say what is being done while it is, and how long it took."""
    started = time.monotonic()
    with out.status(text):
        yield
    out.print(f"· {text} [dim]({time.monotonic() - started:.1f} s)[/dim]", highlight=False)


def stop_as_by_ctrl_c() -> None:
    """Let SIGTERM and a closed terminal end this process as Ctrl-C does, so that what it started ends with it.

    What a script starts in the background ignores Ctrl-C. So do we then, but not what we start: that is stopped by it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)  # a handler is not inherited, as SIG_IGN would be
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
