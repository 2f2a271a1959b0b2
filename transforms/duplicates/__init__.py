"""Rows of one person that are one record: across links and routes, and what a link sent twice.

Rows are compared within one person and table alone, by the keys that `schemas/duplicates/rules.json` declares; no row
is changed. Which row of a group is the best, and by what, is told beside it.
"""

from transforms.duplicates.finding import find, fingerprint
from transforms.duplicates.relation import COLUMNS, FOUND

__all__ = ["COLUMNS", "FOUND", "find", "fingerprint"]
