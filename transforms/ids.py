"""Ids of resources: what FHIR permits, and what servers write.

FHIR permits 64 letters, digits, `-` and `.` (R4 §2.24.0.1). Real ids are longer, or hold underscores and other signs,
and the resources that bear them belong to the person all the same. Any id that can stand in a reference is taken: one
without white space, control characters, and the signs that end a path or divide a search.
"""

from __future__ import annotations

from typing import Final

PERMITTED: Final = r"[A-Za-z0-9\-.]{1,64}"
"""The pattern of an id as FHIR has it."""

ID: Final = r"[^/?#|\s\x00-\x1f\x7f]+"
"""The pattern of an id as it is taken. Understood by Python, by RE2 (DuckDB) and by Rust's `regex` (the schemas)."""
