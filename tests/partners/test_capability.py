"""What servers say they can do, as they really say it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.errors import FetchError
from charthouse.partners.capability import OAUTH_URIS, fetch_capability, parse_capability
from charthouse.partners.http import HttpClient
from tests.partners.odd_server import Asked, OddServer, Reply, as_json

if TYPE_CHECKING:
    from charthouse.settings import Settings

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WHOLE: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "searchParam": [{"name": "_id"}, {"noname": 1}],
            "security": {
                "extension": [
                    {
                        "url": OAUTH_URIS,
                        "extension": [
                            {"url": "authorize", "valueUri": "https://p.example/authorize"},
                            {"url": "token", "valueUri": "/token"},
                        ],
                    },
                    {"url": "other"},
                ]
            },
            "resource": [
                {
                    "type": "Observation",
                    "interaction": [{"code": "search-type"}],
                    "searchParam": [{"name": "patient"}, {"name": "_lastUpdated"}],
                },
                {"type": "MedicationRequest", "searchInclude": ["MedicationRequest:medication", 7]},
                {"type": "MedicationRequest", "searchParam": [{"name": "patient"}]},
                {"type": "Medication", "interaction": [{"code": "read"}]},
                {"type": 7},
                {"type": "observation of canary"},
                {"type": "O" * 1000},
                "nonsense",
            ],
        },
        {"mode": "client", "resource": [{"type": "Patient"}]},
    ],
}


def test_a_whole_statement() -> None:
    offer = parse_capability(json.dumps(WHOLE).encode())
    assert set(offer.types) == {"Observation", "MedicationRequest", "Medication"}
    assert offer.has_last_updated("Observation")
    assert not offer.has_last_updated("MedicationRequest")
    assert offer.has_id("Observation")
    assert not offer.has_id("Medication")  # it cannot be searched at all
    assert offer.types["MedicationRequest"].includes == {"MedicationRequest:medication"}
    assert offer.types["MedicationRequest"].can_search
    assert offer.types["MedicationRequest"].takes("patient")
    assert not offer.types["Observation"].takes("category")
    assert not offer.types["Observation"].can_read
    assert offer.oauth == {"authorize": "https://p.example/authorize", "token": "/token"}


def test_what_is_missing_or_odd_is_not_said() -> None:
    odd = {"resourceType": "CapabilityStatement", "rest": {"resource": {"type": "Observation"}}}
    offer = parse_capability(b"\xef\xbb\xbf" + json.dumps(odd).encode())
    kind = offer.types["Observation"]
    assert kind.can_search
    assert kind.can_read
    assert kind.takes("patient")
    assert not offer.has_last_updated("Observation")  # an undeclared one would be ignored in silence
    assert offer.oauth == {}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"resourceType":"OperationOutcome"}', b'{"resourceType":"CapabilityStatement"}']
    + [b'{"resourceType":"CapabilityStatement","rest":[{"resource":[]}]}', b"\xff\xfe", b"[" * 100_000]
    + [json.dumps(WHOLE | {"rest": [{"resource": [{"type": f"T{c}{d}"} for c in LETTERS for d in LETTERS]}]}).encode()]
    + [json.dumps(WHOLE | {"fhirVersion": version}).encode() for version in ("1.0.2", "3.0.2", "5.0.0")],
)
def test_what_cannot_be_used(body: bytes) -> None:
    with pytest.raises(FetchError, match="CH112"):
        parse_capability(body)


def test_metadata_is_asked_without_a_token_first(quick: Settings) -> None:
    def shy(asked: Asked) -> Reply:
        return as_json(WHOLE) if asked.headers.get("Authorization") == "Bearer good" else Reply(401)

    with OddServer(shy) as server, HttpClient(quick) as client:
        assert "Observation" in fetch_capability(client, f"{server.url}/fhir/", token="good").types
        assert [asked.headers.get("Authorization") for asked in server.asked] == [None, "Bearer good"]
        assert {asked.path for asked in server.asked} == {"/fhir/metadata"}
        with pytest.raises(FetchError, match="CH102"):
            fetch_capability(client, f"{server.url}/fhir")
