"""Fetches that are killed: a process that is made ready once forks for each; importing takes longer than fetching."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    Kill: TypeAlias = Callable[[str, str, int, Mapping[str, str]], int]
    """(batch, point, how often it is passed first, settings) → how the process ended, as `subprocess` counts it."""

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, sys, traceback
from charthouse import faults
from charthouse.settings import get_settings
from charthouse.sync.collect import collect_batch

real = faults.point

def fetch(batch, point, first, env):
    passed = 0
    def later(name):  # the kill is the project's own; only how often the point is passed first is the test's
        nonlocal passed
        passed += name == point
        if passed > first:
            real(name)
    os.environ.update(env, CHARTHOUSE_CRASH_AT=point)
    get_settings.cache_clear()
    faults.point = later
    try:
        collect_batch(batch, wait=lambda _: None)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

for line in sys.stdin:
    child = os.fork()
    if not child:
        fetch(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def killing() -> Iterator[Kill]:
    """A way to fetch a batch in a process that kills itself at a named point (`charthouse.faults`)."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, ended = process.stdin, process.stdout

        def kill(batch: str, point: str, first: int, env: Mapping[str, str]) -> int:
            orders.write(json.dumps([batch, point, first, dict(env)]) + "\n")
            orders.flush()
            return int(ended.readline())

        try:
            yield kill
        finally:
            orders.close()
