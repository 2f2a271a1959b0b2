"""OperationOutcomes of a searchset: what the server wants to say about the search. They are nobody's record."""

from __future__ import annotations

from typing import Final

import orjson

SEVERITIES: Final = ("fatal", "error", "warning", "information")


def issue_counts(raw: bytes) -> dict[str, int]:
    """How many issues of each severity an OperationOutcome holds (R4 §4.14); `unknown` for what is none of the four.

    Texts stay where they are: servers put parameters, and with them ids of people, into `diagnostics`.
    """
    try:
        outcome = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {"unknown": 1}
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    counts: dict[str, int] = {}
    for issue in issues if isinstance(issues, list) else ():
        severity = issue.get("severity") if isinstance(issue, dict) else None
        key = severity if isinstance(severity, str) and severity in SEVERITIES else "unknown"
        counts[key] = counts.get(key, 0) + 1
    return counts
