"""Watching a night while it runs: its stages and its providers, with what comes a second and how long it may take.

On a terminal it is a table that is drawn anew; in a pipe or a log, a line when a stage begins and when a provider is
read. It knows nothing but what tasks tell (`charthouse.progress`): counts and the slugs of providers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.live import Live
from rich.table import Table

from charthouse import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from charthouse.progress import Step

LOOK_SECONDS: Final = 0.2
MOST_PROVIDERS: Final = 20
"""Lines of providers: those that are not done, then the last that are."""


@dataclass
class Work:
    """How far a stage, or a provider, is. `began` and `moved` are seconds of the clock by which it is watched."""

    began: float
    moved: float
    unit: str = ""
    done: int = 0
    total: int | None = None
    resources: int = 0

    def add(self, told: Step, at: float) -> None:
        """Count what was told."""
        self.moved = at
        self.done += told.done
        self.resources += told.resources
        self.unit = told.unit or self.unit
        if told.total is not None:
            self.total = told.total

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of it."""
        return self.total is not None and self.done >= self.total

    def per_second(self, now: float) -> float | None:
        """Resources a second since it began; None where none came, or it has only just begun."""
        seconds = (self.moved if self.is_done else now) - self.began
        return self.resources / seconds if self.resources and seconds > 0 else None

    def seconds_left(self, now: float) -> float | None:
        """How long the rest takes if it goes on as so far; None where nobody can tell."""
        if self.total is None or not self.done or self.is_done:
            return None
        return (now - self.began) / self.done * (self.total - self.done)


@dataclass
class Progress:
    """What was told so far."""

    stages: dict[str, Work] = field(default_factory=dict)
    providers: dict[str, Work] = field(default_factory=dict)

    def add(self, told: Step, at: float) -> None:
        """Take one more step in. A step of a provider counts for its stage too; its total is the provider's own."""
        stage = self.stages.setdefault(told.stage, Work(at, at))
        stage.add(told._replace(total=None) if told.provider else told, at)
        if told.provider:
            self.providers.setdefault(told.provider, Work(at, at)).add(told, at)

    def table(self, now: float) -> Table:
        """The table that a terminal shows."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for name in ("", "done", "of", "", "resources", "a second", "takes"):
            table.add_column(name, justify="left" if not name else "right", no_wrap=True)
        for name, work in self.stages.items():
            table.add_row(name, *_cells(work, now), style="dim" if work.is_done else "bold")
        listed = sorted(self.providers.items(), key=lambda each: (each[1].is_done, -each[1].moved))
        for name, work in listed[:MOST_PROVIDERS]:
            table.add_row(f"  {name}", *_cells(work, now), style="dim" if work.is_done else "")
        if len(listed) > MOST_PROVIDERS:
            table.add_row(f"  {len(listed) - MOST_PROVIDERS:,} more providers", *[""] * 6, style="dim")
        return table


def _cells(work: Work, now: float) -> tuple[str, ...]:
    rate, left = work.per_second(now), work.seconds_left(now)
    took = f"{work.moved - work.began:.0f} s" if work.is_done else ""
    return (
        f"{work.done:,}",
        "" if work.total is None else f"{work.total:,}",
        work.unit,
        f"{work.resources:,}" if work.resources else "",
        "" if rate is None else f"{rate:,.0f}",
        took if left is None else f"{left:.0f} s more",
    )


def watch(has_ended: Callable[[], bool], out: Console, look_seconds: float = LOOK_SECONDS) -> None:
    """Show what is told until `has_ended`."""
    if out.is_terminal:
        _drawn(has_ended, out, look_seconds)
    else:
        _in_lines(has_ended, out, look_seconds)


def _drawn(has_ended: Callable[[], bool], out: Console, look_seconds: float) -> None:
    seen, offset = Progress(), 0
    with Live(console=out, auto_refresh=False) as live:
        while True:
            ended = has_ended()
            now = time.monotonic()
            for behind, told in progress.follow(offset):
                offset = behind
                seen.add(told, now)
            live.update(seen.table(now), refresh=True)
            if ended:
                return
            time.sleep(look_seconds)


def _in_lines(has_ended: Callable[[], bool], out: Console, look_seconds: float) -> None:
    seen, offset, last = Progress(), 0, ""
    while True:
        ended = has_ended()
        now = time.monotonic()
        for behind, told in progress.follow(offset):
            offset = behind
            seen.add(told, now)
            if told.stage != last:
                out.print(f"{told.stage} …", highlight=False, markup=False)
                last = told.stage
            work = seen.providers.get(told.provider)
            if work is not None and work.is_done and told.done:
                rate = work.per_second(now)
                pace = f", {rate:,.0f} a second" if rate is not None else ""
                said = f"{told.provider}: {work.done:,} {work.unit}, {work.resources:,} resources{pace}"
                out.print(f"  {said}", highlight=False, markup=False)
        if ended:
            return
        time.sleep(look_seconds)
