"""The terminal: the console that people read, and the signals by which they stop what they started."""

from __future__ import annotations

import signal

from rich.console import Console

PIPE_WIDTH = 200


def console() -> Console:
    """A console on standard output: as wide as its terminal, and wide enough for our tables in a pipe or a log.

    rich itself obeys NO_COLOR and leaves colours out of pipes.
    """
    out = Console()
    return out if out.is_terminal else Console(width=PIPE_WIDTH)


def page() -> Console:
    """A console for tables. A terminal folds a line that is too long; rich would leave columns out."""
    out = console()
    return out if out.width >= PIPE_WIDTH else Console(width=PIPE_WIDTH)


def stop_as_by_ctrl_c() -> None:
    """Let SIGTERM and a closed terminal end this process as Ctrl-C does, so that what it started ends with it.

    What a script starts in the background ignores Ctrl-C. So do we then, but not what we start: that is stopped by it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)  # a handler is not inherited, as SIG_IGN would be
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
