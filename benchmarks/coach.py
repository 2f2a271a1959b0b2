"""The coach's functions against a bare DuckDB point query of the same lake.

    python -m benchmarks.coach [--rows 200000] [--people 400] [--asked 20] [--times 5]

Made-up rows (500 a person, as `--rows 10000000 --people 20000` has them) stand in the lake of a home of their own. Of
some people every function is asked: first of all without a shelf, then warm, with consent, audit entry and shelf.
Beside it stands the query for one person's latest result on a connection that is open already. The figure to read is
the ratio of processor time; times are of the wall, and are worth little on a machine that does other things.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from hashlib import md5
from typing import TYPE_CHECKING

from benchmarks.analysts import fill
from charthouse.coach.answering import answer
from charthouse.coach.functions import FUNCTIONS
from charthouse.lake.session import open_records
from charthouse.linking import consents
from charthouse.operating.home import prepare
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.models import Person

if TYPE_CHECKING:
    from collections.abc import Callable

ALLOWED = 3.0
POINT = (
    "SELECT value, value_unit, effective_start FROM records.lab_results WHERE person_key = ? AND loinc_code = '4548-4'"
    " AND NOT is_entered_in_error ORDER BY effective_start DESC LIMIT 1"
)
Measured = tuple[float, float]
"""Seconds of the wall, and of the processor."""


def measured(deed: Callable[[], object]) -> Measured:
    """How long it takes."""
    wall, processor = time.perf_counter(), time.process_time()
    deed()
    return time.perf_counter() - wall, time.process_time() - processor


def told(name: str, of: list[Measured], bare: float | None) -> float:
    """Print a line. Returns the ratio of processor time to the bare query's."""
    walls, processor = sorted(wall for wall, _ in of), statistics.median(each for _, each in of)
    p95 = walls[min(len(walls) - 1, int(len(walls) * 0.95))]
    ratio = processor / bare if bare else 1.0
    print(f"{name:28} {statistics.median(walls) * 1000:8.1f} {p95 * 1000:8.1f} {processor * 1000:8.1f} {ratio:6.2f}")
    return ratio


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--asked", type=int, default=20)
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["CHARTHOUSE_HOME"] = f"{name}/home"
        get_settings.cache_clear()
        prepare()
        fill(given.rows, given.people)
        keys = [md5(f"p{number}".encode(), usedforsecurity=False).hexdigest() for number in range(given.asked)]
        with session() as state:
            state.add_all([Person(person_key=key, country="US", premium=True) for key in keys])
            state.flush()
            for key in keys:
                consents.give(state, key, consents.PERSONALISATION)
        print(f"{'':28} {'p50 ms':>8} {'p95 ms':>8} {'cpu ms':>8} {'ratio':>6}")
        with open_records(read_only=True, trusting=True) as connection:
            bare = [
                measured(lambda key=key: connection.execute(POINT, [key]).fetchall())  # type: ignore[misc]
                for _ in range(given.times + 1)
                for key in keys
            ][len(keys) :]
        least = statistics.median(each for _, each in bare)
        told("a bare point query", bare, None)
        first = FUNCTIONS[0]
        cold = [measured(lambda key=key: ask(key, first.name, first.free_text)) for key in keys]  # type: ignore[misc]
        told("without a shelf, once", cold, least)
        ratios = [
            told(
                each.name,
                [
                    measured(lambda key=key, each=each: ask(key, each.name, each.free_text))  # type: ignore[misc]
                    for _ in range(given.times)
                    for key in keys
                ],
                least,
            )
            for each in FUNCTIONS
        ]
        assert max(ratios) <= ALLOWED, "a function costs more than it may"


def ask(key: str, name: str, texts: tuple[str, ...]) -> object:
    """One question, as the API asks it."""
    said = "flu shot" if name == "last-immunization" else "a1c"
    return answer(key, name, dict.fromkeys(texts, said), actor="operator", through="api")


if __name__ == "__main__":
    main()
