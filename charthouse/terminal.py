"""The console that people read: as wide as their terminal, and wide enough for our tables in a pipe or a log."""

from __future__ import annotations

from rich.console import Console

PIPE_WIDTH = 200


def console() -> Console:
    """A console on standard output; rich itself obeys NO_COLOR and leaves colours out of pipes."""
    out = Console()
    return out if out.is_terminal else Console(width=PIPE_WIDTH)
