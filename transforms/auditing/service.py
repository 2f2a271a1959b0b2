"""`python -m transforms.auditing.service`: a process that audits what it is asked to, until nobody can ask any more.

Great Expectations and pandas take seconds to load and a few hundred megabytes, which a process that goes on to other
work would keep. This one loads them before the first question, so that it can be started while something else is
waited for. A question is a line of JSON on standard input, `{"rows": FOLDER, "broken": FILE}` (`audit_staged`); the
answer is a line on standard output, `{"audits": [...]}`, or `{"fault": CLASS}` with the place of the fault on standard
error. The end of the input is the end of the process.
"""

from __future__ import annotations

import gc
import sys
import traceback
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from transforms.auditing.audit import audit_staged
from transforms.auditing.judge import load

YOUNG_OBJECTS = 100_000
"""How many objects are made between two collections: the graphs of Great Expectations hold few cycles and many objects,
and the default of 700 costs a quarter of its time."""


def main() -> int:
    """Answer each question. Returns the exit code."""
    gc.disable()
    with redirect_stdout(sys.stderr):  # whatever a library says stays out of the answers
        load()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(orjson.dumps(_answer(orjson.loads(line))) + b"\n")
        try:
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # who asked is gone
            return 1
    return 0


def _answer(question: dict[str, str]) -> dict[str, Any]:
    try:
        with redirect_stdout(sys.stderr):
            audits = audit_staged(Path(question["rows"]), Path(question["broken"]))
    except Exception as fault:
        # Where it broke, but not its words: they may hold what stood in a row.
        frames = "".join(traceback.format_tb(fault.__traceback__))
        sys.stderr.write(f"{frames}{type(fault).__name__}\n")
        sys.stderr.flush()
        return {"fault": type(fault).__name__}
    return {"audits": [asdict(audit) for audit in audits]}


if __name__ == "__main__":
    sys.exit(main())
