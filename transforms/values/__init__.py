"""What the values of records mean: results written as strings, comparators, units. SQL text in, SQL text out.

No function here fails on a value: what cannot be read is NULL, with the id of a remark that says why.
"""

from __future__ import annotations

from typing import Final

from transforms.values import comparators, results, units

REMARKS: Final[dict[str, str]] = {**comparators.REMARKS, **results.REMARKS, **units.REMARKS}
"""Every remark that the reading of values leaves on a row: its id, and what it says."""
