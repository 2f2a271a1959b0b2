"""docs/mission.md: what the product's page asks of a back end, and the tests that show it.

python -m tests.docs.mission
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "mission.md"
HEAD = """# The mission, sentence by sentence

What the page that this product serves asks of a back end, in our words, with the tests that show it. The numbers are
the lines of that page. Written by `python -m tests.docs.mission` from `tests/docs/mission.toml`; a test holds both
together and looks that each test named is there.

| lines | asks | shown by |
|---|---|---|
"""


def mission() -> dict[str, Any]:
    """The declaration."""
    return tomllib.loads((ROOT / "tests" / "docs" / "mission.toml").read_text())


def spans(lines: list[int]) -> str:
    """`1, 3-5` for 1, 3, 4, 5."""
    told: list[list[int]] = []
    for line in sorted(lines):
        if told and line == told[-1][-1] + 1:
            told[-1].append(line)
        else:
            told.append([line])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in told)


def page() -> str:
    """The page, as it should stand."""
    said = mission()
    rows = []
    for ask in sorted(said["asks"], key=lambda one: min(one["lines"])):
        shown = [f"`{name}`" for name in ask["tests"]]
        if "open" in ask:
            shown.append(f"**open**: {ask['open']}")
        rows.append(f"| {spans(ask['lines'])} | {ask['says']} | {'<br>'.join(shown)} |\n")
    screens = spans(said["screens"]["lines"])
    return HEAD + "".join(rows) + f"\nFor the app's screens alone (headings, taps, advice to the person): {screens}.\n"


if __name__ == "__main__":
    PAGE.write_text(page())
