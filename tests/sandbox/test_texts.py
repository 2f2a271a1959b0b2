"""Stamping and naming a resource leaves all of its other bytes alone."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sandbox.texts import with_id, with_meta

STAMP = {"versionId": "3", "lastUpdated": "2026-01-02T03:04:05.678Z"}
SCALARS = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
NAMES = st.text(min_size=1).filter(lambda name: name not in ("resourceType", "id", "meta"))


@given(
    before=st.dictionaries(NAMES, VALUES, max_size=3),
    after=st.dictionaries(NAMES, VALUES, max_size=3),
    meta=st.none() | st.fixed_dictionaries({}, optional={"profile": VALUES, "lastUpdated": VALUES, "tag": VALUES}),
    has_id=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
def test_the_stamp_is_the_only_change(
    before: dict[str, object],
    after: dict[str, object],
    meta: dict[str, object] | None,
    has_id: bool,
    indent: int | None,
) -> None:
    resource: dict[str, object] = {**before, "resourceType": "Basic"}
    if has_id:
        resource["id"] = "a"
    if meta is not None:
        resource["meta"] = meta
    resource |= {name: value for name, value in after.items() if name not in resource}
    raw = json.dumps(resource, indent=indent).encode()
    stamped = with_meta(raw, STAMP, has_meta=meta is not None, replace=meta is not None)
    assert json.loads(stamped) == {**resource, "meta": {**(meta or {}), **STAMP}}
    named = with_id(raw, "new-id")
    assert json.loads(named) == {**resource, "id": "new-id"}
    assert [name for name in json.loads(stamped) if name != "meta"] == [name for name in resource if name != "meta"]


def test_digits_and_spacing_survive() -> None:
    raw = b'{ "resourceType" : "Observation",\n "valueQuantity": { "value": 1.10 }, "x": 1E400 }'
    stamped = with_meta(with_id(raw, "o"), {"versionId": "1"}, has_meta=False)
    assert b'"value": 1.10 }, "x": 1E400 }' in stamped
    assert stamped.replace(b',"meta":{"versionId":"1"}', b"").replace(b',"id":"o"', b"") == raw
