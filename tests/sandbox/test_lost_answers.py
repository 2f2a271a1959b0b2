"""Trouble at the OAuth endpoints: answers lost after the work, errors on demand, and counts of what a client did."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from tests.sandbox.app import redirected
from tests.sandbox.vendor import error_of

if TYPE_CHECKING:
    from tests.sandbox.vendor import Vendor


def test_a_rotation_whose_answer_is_lost_can_be_asked_for_again_in_time(vendor: Vendor, person: str) -> None:
    first = vendor.exchange(person).json()["refresh_token"]
    vendor.fault({"match": {"path": "oauth/token"}, "times": 1, "act": {"lose_answer": True}})
    with pytest.raises(requests.ConnectionError):
        vendor.refresh(first)
    again = vendor.refresh(first).json()["refresh_token"]
    assert vendor.refresh(again).status_code == 200
    # After the grace period the same accident ends the grant.
    token = vendor.exchange(person).json()["refresh_token"]
    vendor.fault({"match": {"path": "oauth/token"}, "times": 1, "act": {"lose_answer": True}})
    with pytest.raises(requests.ConnectionError):
        vendor.refresh(token)
    vendor.later(61)
    assert error_of(vendor.refresh(token)) == (400, "invalid_grant")


def test_a_connection_cut_before_the_work_rotates_nothing(vendor: Vendor, person: str) -> None:
    token = vendor.exchange(person).json()["refresh_token"]
    vendor.fault({"match": {"path": "oauth/token"}, "times": 1, "act": {"hang_up": True}})
    with pytest.raises(requests.ConnectionError):
        vendor.refresh(token)
    vendor.later(3600)
    assert vendor.refresh(token).status_code == 200


def test_oauth_endpoints_break_as_asked(vendor: Vendor, person: str) -> None:
    def broken(path: str, **act: object) -> None:
        vendor.mend()
        vendor.fault({"match": {"path": path}, "times": 1, "act": act})

    def token() -> requests.Response:
        return vendor.token(grant_type="refresh_token", refresh_token="x")

    broken("oauth/token", error="invalid_client", status=401)
    assert error_of(token()) == (401, "invalid_client")
    broken("oauth/token", error="invalid_grant")
    assert error_of(token()) == (400, "invalid_grant")
    broken("oauth/token", retry_after=3)
    answer = token()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    broken("oauth/token", status=502, body="html")
    answer = token()
    assert (answer.status_code, answer.headers["Content-Type"][:9], answer.text[:9]) == (502, "text/html", "<!DOCTYPE")
    broken("oauth/token", body="truncate")
    with pytest.raises(requests.JSONDecodeError):
        token().json()
    broken("oauth/authorize", error="temporarily_unavailable")
    said = redirected(vendor.authorize(person)[0])
    assert (said["error"], said["state"]) == ("temporarily_unavailable", "a-state-of-sufficient-length")
    broken("oauth/authorize", status=500)
    assert vendor.authorize(person)[0].status_code == 500
    broken("oauth/decide", error="server_error")
    url = vendor.smart["authorization_endpoint"].replace("authorize", "decide")
    assert vendor.http.post(url, data={"client_id": "x"}, timeout=10).status_code == 400
    broken("smart-configuration", lose_answer=True)
    with pytest.raises(requests.ConnectionError):
        vendor.get(".well-known/smart-configuration", None)


def test_trouble_may_be_one_persons(vendor: Vendor) -> None:
    mine, other = vendor.people()[:2]
    tokens = {one: vendor.exchange(one).json()["refresh_token"] for one in (mine, other)}
    vendor.fault({"match": {"path": "oauth/token", "patient": mine}, "act": {"error": "invalid_grant"}})
    assert error_of(vendor.refresh(tokens[mine])) == (400, "invalid_grant")
    assert vendor.refresh(tokens[other]).status_code == 200
    # Without a path the rule is about the person's records, and leaves their tokens alone.
    vendor.mend()
    vendor.fault({"match": {"patient": mine}, "act": {"status": 401}})
    renewed = vendor.refresh(tokens[mine])
    assert renewed.status_code == 200
    assert vendor.get(f"Patient/{mine}", renewed.json()["access_token"]).status_code == 401


def test_refreshes_are_counted_by_family(vendor: Vendor) -> None:
    people = vendor.people()[:3]
    tokens = {one: vendor.exchange(one).json()["refresh_token"] for one in people}
    vendor.http.delete(f"{vendor.admin}/requests", timeout=10)
    for one in people:
        assert vendor.refresh(tokens[one]).status_code == 200
    vendor.refresh("unknown")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: vendor.refresh(tokens[people[0]]).status_code, range(4)))
    assert answers == [200] * 4
    vendor.later(61)
    vendor.refresh(tokens[people[1]])
    said = vendor.counts()["tokens"]
    assert said["grant_types"] == {"refresh_token": 9}
    assert said["unknown"] == 1
    told = {one["patient"]: (one["refreshed"], one["refused"]) for one in said["families"].values()}
    assert told == {people[0]: (5, 0), people[1]: (1, 1), people[2]: (1, 0)}
    assert {one["client_id"] for one in said["families"].values()} == {vendor.client_id}
