"""What no category takes: kept and exportable, and counted, so that nobody has to guess what is there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transforms.classification.declaration import rules

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Additional:
    """How many resources of a type are additional for one reason."""

    resource_type: str
    rule: str
    reason: str
    resources: int


def additional(classified: Iterable[tuple[str, str]]) -> list[Additional]:
    """What is additional among resources, given as (type, rule id); most first, then by type and rule.

    Of resources in a database, count `(resource_type, rule_sql(…))` there, and give each pair as often as it came.
    """
    counted = Counter((kind, rule) for kind, rule in classified if rules()[rule].category is None)
    ranked = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))
    return [Additional(kind, rule, rules()[rule].reason, count) for (kind, rule), count in ranked]
