"""Bundles as pages: tolerant to what servers send, exact about the bytes they sent."""

from __future__ import annotations

import json

import pytest

from transforms.bundles import PageError, read_page, references, resource_stub

OBSERVATION = b'{"resourceType" : "Observation",  "id":"o1", "valueQuantity":{"value":1.50}, "zz":"\xc3\xa9"}'


def bundle(*entries: bytes, rest: bytes = b"") -> bytes:
    return b'{"resourceType":"Bundle","type":"searchset","entry":[' + b",".join(entries) + b"]" + rest + b"}"


def test_a_resource_keeps_its_bytes() -> None:
    body = b"\xef\xbb\xbf\n " + bundle(
        b'{"fullUrl":"http://x/Observation/o1","resource": ' + OBSERVATION + b' ,"search":{"mode":"match"}}',
        b'{"resource":' + OBSERVATION + b',"search":{"mode":"include"}}',
        rest=b',"total":7,"meta":{"lastUpdated":"2026-01-02T03:04:05Z"},"link":['
        b'{"relation":"self","url":"http://x/a"},{"relation":"next","url":"http://x/b?p=\\u0026"}]',
    )
    page = read_page(body)
    assert [entry.raw for entry in page.entries] == [OBSERVATION, OBSERVATION]
    assert [entry.mode for entry in page.entries] == ["match", "include"]
    assert page.entries[0].full_url == "http://x/Observation/o1"
    assert page.entries[1].full_url is None
    assert (page.next_url, page.total, page.last_updated) == ("http://x/b?p=&", 7, "2026-01-02T03:04:05Z")
    assert (page.skipped, page.type) == (0, "searchset")


def test_what_servers_get_wrong_costs_only_itself() -> None:
    assert read_page(b'{"resourceType":"Bundle","type":"searchset","total":0}').entries == ()
    page = read_page(
        bundle(
            b"null",
            b"7",
            b'{"search":{"mode":"match"}}',
            b'{"resource":null}',
            b'{"resource":' + OBSERVATION + b',"fullUrl":5,"search":"match"}',
            b'{"resource":"text"}',
            b'{"resource":{"resourceType":"OperationOutcome","issue":[]}}',
            rest=b',"total":"many","meta":[],"link":[null,{"relation":["next"]},{"relation":"next","url":3}]',
        )
    )
    assert [(entry.raw, entry.mode) for entry in page.entries] == [
        (OBSERVATION, "match"),
        (b'"text"', "match"),
        (b'{"resourceType":"OperationOutcome","issue":[]}', "outcome"),
    ]
    assert page.skipped == 4
    assert (page.total, page.next_url, page.last_updated) == (None, None, None)
    for entry, skipped in ((b'{"resource":{}}', 1), (b'"text"', 1), (b"null", 0), (b"[]", 0)):
        page = read_page(b'{"resourceType":"Bundle","entry":' + entry + b"}")
        assert (page.entries, page.skipped) == ((), skipped), "nothing is lost without a word"
    assert read_page(b'{"resourceType":"Bundle","link":{"relation":"next","url":"x"}}').next_url == "x"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb"cut \ud83d", rb"cut \ufffd"),
        (rb"\uDE00 late", rb"\ufffd late"),
        (rb"\ud83d\ud83d\ude00", rb"\ufffd\ud83d\ude00"),
        (rb"\\ud83d \ud83d", rb"\\ud83d \ufffd"),
        (rb"\\ud83d", rb"\\ud83d"),
    ],
)
def test_half_a_surrogate_pair_costs_one_character(sent: bytes, read: bytes) -> None:
    cut = OBSERVATION.replace(b'"id":"', b'"note":[{"text":"' + sent + b'"}],"id":"', 1)
    whole = OBSERVATION.replace(b'"id":"', b'"note":[{"text":"' + read + b'"}],"id":"', 1)
    assert cut != OBSERVATION
    page = read_page(bundle(b'{"resource":' + cut + b"}", b'{"resource":' + OBSERVATION + b"}"))
    assert [entry.raw for entry in page.entries] == [whole, OBSERVATION]


TORN = {
    "a leading zero": b'"valueQuantity":{"value":065.88}',
    "a plus sign": b'"valueQuantity":{"value":+6}',
    "no number": b'"valueQuantity":{"value":NaN}',
    "a truncated number": b'"valueQuantity":{"value":6.}',
    "nothing": b'"valueQuantity":{"value":}',
    "single quotes": b"'note':[{'text':'it}'}]",
    "a control character": b'"note":[{"text":"two\nlines"}]',
    "a comma too many": b'"note":[{"text":"a"},],',
    "an unknown escape": rb'"note":[{"text":"\\server\x\"}]'.replace(rb"\\", b"\\"),
    "a quote within": b'"note":[{"text":"he said "no" to it"}]',
    "a quote too few": b'"note":[{"text":"a},{"text":"b"}]',
    "a bracket too few": b'"note":[{"text":"a"}',
    "a brace too few": b'"note":[{"text":"a"]',
    "a brace too many": b'"note":[{"text":"a"}}]',
    "a comment": b'"note":[] /* { */',
    "a raw byte": b'"no\xffte":"\xfe" 1',
}


@pytest.mark.parametrize("fault", TORN.values(), ids=TORN.keys())
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_entry_that_is_no_json_costs_itself(fault: bytes, indent: int | None, place: int) -> None:
    """Its neighbours keep their bytes, the next page is found, and the broken one is an entry with all of its bytes."""
    torn = b'{"resourceType":"Observation","id":"torn",%s,"code":{"coding":[{"code":"a"},{"code":"b"}]}}' % fault
    good = [json.dumps({"resourceType": "Observation", "id": f"o{n}"}, indent=indent).encode() for n in (1, 2)]
    entries = [b'{"fullUrl":"http://x/Observation/o","resource":%s,"search":{"mode":"match"}}' % raw for raw in good]
    entries.insert(place, entries[0].replace(good[0], torn))
    link = b'"link":[{"relation":"self","url":"http://x/a"},{"relation":"next","url":"http://x/b"}]'
    gap = b"," if indent is None else b"  ,\n  "
    middle = b'"entry":[' + gap.join(entries) + b"]"
    for body in (
        b'{"resourceType":"Bundle","type":"searchset",' + link + b"," + middle + b"}",
        b'{"resourceType":"Bundle","type":"searchset",' + middle + b', "total": 9,' + link + b"}\n",
    ):
        page = read_page(body)
        assert (page.next_url, page.torn, page.skipped, page.type) == ("http://x/b", 1, 0, "searchset")
        raws = [entry.raw for entry in page.entries]
        assert [raw for raw in raws if raw in good] == good
        assert len(raws) == 3
        assert fault in raws[place]
        assert resource_stub(raws[place])[:2] == ("Observation", "torn")


def test_a_fault_around_a_resource_costs_nothing() -> None:
    around = b'{"resource":' + OBSERVATION + b',"search":{"mode":"include","score":NaN}}'
    page = read_page(bundle(around, b'{"resource":{"a":01}}', b'{"resource":{"a":02}}', b'{"search":07}'))
    assert [(entry.raw, entry.mode) for entry in page.entries] == [
        (OBSERVATION, "match"),
        (b'{"a":01}', "match"),
        (b'{"a":02}', "match"),
        (b'{"search":07}', "match"),
    ]
    assert (page.torn, page.skipped) == (3, 0)
    torn_link = b'{"resourceType":"Bundle","total":01,"link":[{"relation":"next","url":"x","a":01}],"entry":[]}'
    assert read_page(torn_link).next_url == "x"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<!doctype html><html>Sign in", "html"),
        (b'<?xml version="1.0"?><Bundle/>', "xml"),
        (b'{"resourceType":"Bundle","entry":[{"resource":{"id":"secret-value"', "not_json"),
        (b'{"resourceType":"Bundle","entry":[{"resource":{"value":NaN}}', "not_json"),
        (b"secret-value", "not_json"),
        (b"[1,2]", "not_a_bundle"),
        (b'"text"', "not_a_bundle"),
        (b'{"resourceType":["Bundle"]}', "not_a_bundle"),
        (b'{"resourceType":"Patient","id":"secret-value"}', "not_a_bundle"),
        (b'{"resourceType":"OperationOutcome","issue":[]}', "operation_outcome"),
    ],
)
def test_what_is_no_page_says_why_and_no_more(body: bytes, reason: str) -> None:
    with pytest.raises(PageError) as caught:
        read_page(body)
    assert caught.value.reason == reason
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_stub_is_what_is_readable() -> None:
    assert resource_stub(OBSERVATION) == ("Observation", "o1", None)
    assert resource_stub(b'{"meta":{"lastUpdated":"2026-01-01"},"id":"a"}') == (None, "a", "2026-01-01")
    assert resource_stub(b'{"resourceType":"Patient","id":7,"meta":{"lastUpdated":8}}') == ("Patient", None, None)
    assert resource_stub(b'{"resourceType":"Patient","id":"p","meta":[]}') == ("Patient", "p", None)
    for raw in (b"", b"{", b"[]", b"null", b"\xff\xfe"):
        assert resource_stub(raw) == (None, None, None)


def test_references_are_those_this_server_can_be_asked_for() -> None:
    raw = json.dumps(
        {
            "a": {"reference": "Patient/p-1"},
            "b": [{"reference": "Observation/o.1/_history/3"}],
            "c": {"reference": "https://fhir.example/r4/Medication/m1"},
            "d": {"reference": "https://other.example/r4/Medication/m2"},
            "e": {"reference": "#inside"},
            "f": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"},
            "g": {"reference": "Practitioner?identifier=x|1"},
            "h": {"display": '"reference": "Patient/quoted"'},
            "i": {"reference": 7},
        },
        indent=2,
    ).encode()
    local = {"Patient/p-1", "Observation/o.1"}
    assert references(raw) == local
    for base in ("https://fhir.example/r4", "http://FHIR.example/r4/"):
        assert references(raw, base) == local | {"Medication/m1"}
    assert references(raw, "https://fhir-example/r4") == local
    assert references(b'{"reference":"Patient\\/p-1"}') == {"Patient/p-1"}
    assert references(b'{"reference":"Patient/\xff"}') == set()
