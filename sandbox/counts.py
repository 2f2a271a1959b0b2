"""How often a provider was asked: by type, endpoint, verb, grant type, and how often each grant was refreshed.

The last one lets a test prove that a client refreshed each link once, however many of its tasks ran at a time.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class Counts:
    """The counters of one provider; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._verbs: Counter[str] = Counter()
        self._grant_types: Counter[str] = Counter()
        self._families: dict[str, dict[str, Any]] = {}
        self._unknown = 0

    def request(self, subject: str, interaction: str = "") -> None:
        """Count a request: of a type and an interaction, or of an endpoint by its name."""
        with self._lock:
            self._requests[subject, interaction] += 1

    def verb(self, method: str) -> None:
        """Count a request to the FHIR base by its verb."""
        with self._lock:
            self._verbs[method[:16]] += 1

    def token_request(self, grant_type: str) -> None:
        """Count a request to the token endpoint, whatever comes of it."""
        with self._lock:
            self._grant_types[grant_type[:64] or "-"] += 1

    def refresh(self, grant: str | None, patient: str = "", client_id: str = "", *, answered: bool) -> None:
        """Count a refresh for its family, all refresh tokens of one grant; None for a token that nobody was given."""
        with self._lock:
            if grant is None:
                self._unknown += 1
                return
            family = self._families.setdefault(
                grant, {"patient": patient, "client_id": client_id, "refreshed": 0, "refused": 0}
            )
            family["refreshed" if answered else "refused"] += 1

    def said(self, *, reset: bool = False) -> dict[str, Any]:
        """All counters since the last reset."""
        with self._lock:
            requests, grant_types, verbs = dict(self._requests), dict(self._grant_types), dict(self._verbs)
            families = {grant: dict(family) for grant, family in self._families.items()}
            unknown = self._unknown
            if reset:
                self._requests.clear()
                self._verbs.clear()
                self._grant_types.clear()
                self._families.clear()
                self._unknown = 0
        types: dict[str, dict[str, int]] = {}
        others: dict[str, int] = {}
        for (subject, interaction), number in sorted(requests.items()):
            if interaction:
                types.setdefault(subject, {})[interaction] = number
            else:
                others[subject] = number
        return {
            "total": sum(requests.values()),
            "types": types,
            "others": others,
            "verbs": verbs,
            "tokens": {"grant_types": grant_types, "families": families, "unknown": unknown},
        }
