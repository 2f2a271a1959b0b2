"""HL7's own examples of R4, as npm has them: every one is accepted, or quarantined for a reason, and none is lost."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.checking.official import examples, fetched, named
from transforms.checking import Owner
from transforms.checking.batches import CheckedRow, QuarantinedRow, check_pages
from transforms.checking.mending import mended

if TYPE_CHECKING:
    import pytest

    from transforms.checking import Checker


def test_every_official_example_is_somewhere(checker: Checker, pytestconfig: pytest.Config) -> None:
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for raw in examples(fetched(pytestconfig)):
        found[named(json.loads(raw))].append(raw)
    counts: Counter[str] = Counter()
    for patient, raws in found.items():
        page = b'{"resourceType":"Bundle","entry":[%s]}' % b",".join(b'{"resource":%s}' % raw.strip() for raw in raws)
        rows = list(check_pages([page], Owner(patient), person_key="k", link_id="l", checker=checker))
        kept = [row.resource.encode() if isinstance(row, CheckedRow) else row.resource for row in rows]
        there = [raw.strip() for raw in raws if json.loads(raw)["resourceType"] != "OperationOutcome"]
        assert sorted(kept) == sorted(set(there)), "each is kept, byte for byte"
        for row in rows:
            if isinstance(row, QuarantinedRow):
                counts.update(row.rules)
            else:
                counts["accepted"] += 1
                assert mended(row.resource) == row.resource or row.remarks, "what is whole is not touched"
    assert counts["accepted"] > 500
    assert counts.keys() <= {"accepted"}, "the standard's own examples can all be used"
