"""Writes `schemas/units/conversions.json`: the factor of every unit that a measured thing may come in.

    python -m transforms.values [OUTPUT.json]

The factors come from the UCUM library (ucumvert over pint); nothing here parses a unit. The file is the same byte for
byte on every run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from transforms.values.factors import generated

OUTPUT = Path(__file__).resolve().parents[2] / "schemas" / "units" / "conversions.json"

if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT).write_text(generated(), encoding="utf-8")
