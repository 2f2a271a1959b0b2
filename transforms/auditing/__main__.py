"""`python -m transforms.auditing FOLDER`: audit the staged rows below a folder, and say the verdicts as JSON.

A process of its own for the audit: Great Expectations and pandas take a few hundred megabytes, which a process that
goes on to other work would keep.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import orjson

from transforms.auditing import audit_staged


def main(folder: str) -> int:
    """Write a list of `TableAudit` as JSON to standard output. Returns the exit code: 1 after a fault of the audit."""
    try:
        with redirect_stdout(sys.stderr):  # whatever a library says stays out of the answer
            audits = audit_staged(Path(folder))
    except Exception as fault:
        # Where it broke, but not its words: they may hold what stood in a row.
        frames = "".join(traceback.format_tb(fault.__traceback__))
        sys.stderr.write(f"{frames}{type(fault).__name__}\n")
        return 1
    sys.stdout.buffer.write(orjson.dumps([asdict(audit) for audit in audits]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
