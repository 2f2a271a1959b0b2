"""Which resources count and how many rows come: the parameters of the standard's run operation that are no view.

Source: SQL on FHIR v2, operation $viewdefinition-run (in 3.0.0-ballot $sql-run): patient, group, _since, _limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from transforms.sql_on_fhir.compartment import Compartment
from transforms.sql_on_fhir.errors import Remark, ViewError
from transforms.sql_on_fhir.temporal import in_calendar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from transforms.sql_on_fhir.definition import View

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)\Z")
_REFERENCE = re.compile(r"(?:https?://\S+/)?(?:(?P<kind>[A-Z][A-Za-z]+)/)?(?P<id>[^/?#|\s]+)\Z")


@dataclass(frozen=True, slots=True)
class Filters:
    """What of a source counts. References are `Patient/id`, `Group/id`, the id alone or an absolute URL.

    `patients` and `groups` keep the resources in the compartments of those patients, or of the active members of those
    groups, or of both where both are given; resources of a type that no compartment holds stay. `since` keeps what has
    changed after that instant, and what does not say when it changed. `limit` is the most rows.

    Raises:
        ViewError: CH314 for a value that is none of those.
    """

    patients: Sequence[str] = ()
    groups: Sequence[str] = ()
    since: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for kind, references in (("Patient", self.patients), ("Group", self.groups)):
            for reference in references:
                _key(reference, kind)
        if self.since is not None and not (_INSTANT.match(self.since) and in_calendar(self.since)):
            raise ViewError("CH314", message="since is an instant with its offset, such as 2024-01-31T00:00:00Z")
        if self.limit is not None and self.limit < 0:
            raise ViewError("CH314", message="limit is a number of rows, 0 or more")

    def narrowed(self, view: View, ask: Callable[[Mapping[str, Any], Compartment | None], pa.Table]) -> View:
        """The view over what counts alone. `ask` runs a view of our own over the same source.

        Raises:
            ViewError: CH313 for a group that is not there, or a patient where other patients are.
        """
        if self.since is not None:
            changed = f"meta.lastUpdated.empty() or meta.lastUpdated > @{self.since}"
            view = replace(view, where=(*view.where, (changed, "$.where")))
        if not self.patients and not self.groups:
            return view
        keys = self._patients(ask)
        compartment = Compartment.of(view.resource, keys)
        if compartment is None:
            return replace(view, remarks=(*view.remarks, Remark("CH324", "$.resource")))
        return replace(view, compartment=compartment)

    def _patients(self, ask: Callable[[Mapping[str, Any], Compartment | None], pa.Table]) -> tuple[str, ...]:
        named = {_key(reference, "Patient") for reference in self.patients}
        if named:
            there = set(ask(_PATIENTS, Compartment("getResourceKey()", tuple(sorted(named))))["key"].to_pylist())
            missing = sorted(named - there)
            if missing and (there or ask(_PATIENTS, None).num_rows):
                raise ViewError("CH313", message=f"{len(missing)} of {len(named)} patients named are not there")
        if not self.groups:
            return tuple(sorted(named))
        groups = {_key(reference, "Group") for reference in self.groups}
        rows = ask(_MEMBERS, Compartment("getResourceKey()", tuple(sorted(groups)))).to_pylist()
        if len({row["key"] for row in rows}) < len(groups):
            raise ViewError("CH313", message="a group named is not there")
        members = {row["patient"] for row in rows if row["patient"] and not row["inactive"]}
        return tuple(sorted(members & named if named else members))


_PATIENTS = {"resource": "Patient", "select": [{"column": [{"name": "key", "path": "getResourceKey()"}]}]}
_MEMBERS = {
    "resource": "Group",
    "select": [
        {"column": [{"name": "key", "path": "getResourceKey()"}]},
        {
            "forEachOrNull": "member",
            "column": [
                {"name": "patient", "path": "entity.getReferenceKey(Patient)"},
                {"name": "inactive", "path": "inactive"},
            ],
        },
    ],
}


def _key(reference: str, kind: str) -> str:
    found = _REFERENCE.match(reference)
    if found is None or (found["kind"] or kind) != kind:
        raise ViewError("CH314", message=f"a {kind.lower()} is named as {kind}/id")
    return f"{kind}/{found['id']}"
