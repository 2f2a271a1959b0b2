"""Service tokens: whose they must be, for how long, and what each one reaches."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from typer.testing import CliRunner

from charthouse.api import tokens
from charthouse.api.tokens import ISSUER, PURPOSE
from charthouse.clock import now
from charthouse.linking import signing_keys
from charthouse.operating.cli import app as cli
from tests.api.conftest import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.conftest import Api, Clock


def made(key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A good operator's token with changes; None takes a claim out."""
    kid, own = signing_keys.current(PURPOSE)
    at = int(now().timestamp())
    claims = {"iss": ISSUER, "aud": "charthouse", "sub": "app", "iat": at, "exp": at + 600, "scope": "operator"}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    head = {"alg": "ES256", "kid": kid, "typ": "at+jwt", **(header or {})}
    return jwt.encode(head, claims, key or own, algorithms=[head["alg"]])


def unsigned(**changes: Any) -> str:
    head, body, _ = made(**changes).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode()).rstrip(b"=").decode()
    return f"{head}.{body}."


def public_as_secret() -> str:
    """The confusion of algorithms: the public key as the secret of an HMAC."""
    public = json.dumps(signing_keys.public_jwks(PURPOSE)["keys"][0]).encode()
    return made(OctKey.import_key(base64.urlsafe_b64encode(public).decode()), {"alg": "HS256"})


BAD: dict[str, tuple[Any, str]] = {
    "alg none": (unsigned, "CH802"),
    "a public key as a secret": (public_as_secret, "CH802"),
    "another's key": (lambda: made(ECKey.generate_key("P-256", private=True)), "CH802"),
    "an unknown key": (lambda: made(header={"kid": "nobody"}), "CH802"),
    "another audience": (lambda: made(aud="others"), "CH802"),
    "no audience": (lambda: made(aud=None), "CH802"),
    "another issuer": (lambda: made(iss="https://evil.example"), "CH802"),
    "an identity token": (lambda: made(header={"typ": "JWT"}), "CH802"),
    "no end": (lambda: made(exp=None), "CH802"),
    "no beginning": (lambda: made(iat=None), "CH802"),
    "milliseconds": (lambda: made(exp=10**13), "CH802"),
    "nobody": (lambda: made(sub=None), "CH802"),
    "a name with a line break": (lambda: made(sub="a\nb"), "CH802"),
    "neither person nor operator": (lambda: made(scope=None), "CH802"),
    "both person and operator": (lambda: made(person="x"), "CH802"),
    "expired": (lambda: made(iat=int(now().timestamp()) - 900, exp=int(now().timestamp()) - 300), "CH803"),
    "ten minutes ahead": (lambda: made(iat=int(now().timestamp()) + 600, exp=int(now().timestamp()) + 900), "CH804"),
    "not yet": (lambda: made(nbf=int(now().timestamp()) + 300), "CH804"),
    "a day": (lambda: made(exp=int(now().timestamp()) + 86_400), "CH804"),
    "no token": (lambda: "", "CH801"),
    "no JWT": (lambda: "canary", "CH802"),
    "huge": (lambda: made(jti="x" * 8000), "CH802"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_token_is_one_clear_problem(api: Api, case: str) -> None:
    make, code = BAD[case]
    answer = api.ask("GET", "/providers", make())
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert problem["instance"].removeprefix("urn:uuid:") == answer.headers["X-Request-Id"]


def test_other_ways_to_say_who_one_is_are_none(api: Api, operator: str) -> None:
    assert api.ask("GET", f"/providers?access_token={operator}").json()["code"] == "CH801"
    assert api.ask("GET", "/providers", headers={"Authorization": f"Basic {operator}"}).json()["code"] == "CH801"
    assert api.ask("GET", "/providers", headers={"Authorization": f"bearer {operator}"}).status_code == 200


def test_a_token_ends_with_its_minutes(api: Api, clock: Clock) -> None:
    short = tokens.issue(operator=True, minutes=2)
    assert api.ask("GET", "/providers", short).status_code == 200
    clock.forward(minutes=2, seconds=50)
    assert api.ask("GET", "/providers", short).status_code == 200, "a minute of leeway"
    clock.forward(seconds=20)
    assert api.ask("GET", "/providers", short).json()["code"] == "CH803"


def test_keys_rotate_with_an_overlap_and_end_at_once_where_one_got_about(api: Api) -> None:
    old = tokens.issue(operator=True)
    done = CliRunner().invoke(cli, ["tokens", "rotate"])
    assert done.exit_code == 0, done.output
    new = tokens.issue(operator=True)
    assert old.split(".")[0] != new.split(".")[0], "another key"
    assert [api.ask("GET", "/providers", token).status_code for token in (old, new)] == [200, 200]
    assert CliRunner().invoke(cli, ["tokens", "rotate", "--now"]).exit_code == 0
    assert [api.ask("GET", "/providers", token).status_code for token in (old, new)] == [401, 401]
    assert api.ask("GET", "/providers", tokens.issue(operator=True)).status_code == 200
    listed = json.loads(CliRunner().invoke(cli, ["tokens", "keys", "--json"]).output)
    assert len(listed) == 1
    assert "private" not in json.dumps(listed)


def test_a_token_from_the_command_line(api: Api, person: str) -> None:
    said = CliRunner().invoke(cli, ["tokens", "issue", "--person", person])
    assert api.ask("GET", f"/people/{person}", said.output.strip()).status_code == 200
    for wrong in ([], ["--person", person, "--operator"], ["--operator", "--minutes", "0"]):
        assert CliRunner().invoke(cli, ["tokens", "issue", *wrong]).exit_code != 0
    with pytest.raises(Exception, match="CH602"):
        CliRunner().invoke(cli, ["tokens", "issue", "--person", "nobody"], catch_exceptions=False)
    with pytest.raises(Exception, match="CH804"):
        CliRunner().invoke(cli, ["tokens", "issue", "--operator", "--minutes", "999"], catch_exceptions=False)


def test_the_back_end_signs_its_own(home: Path, person: str) -> None:
    key = ECKey.generate_key("P-256", {"kid": "app-1"}, private=True)
    keys = home / "backend.json"
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    token = made(key, {"kid": "app-1"}, iss="app", scope=None, person=person)
    with serving(api_backend_keys=keys) as api:
        assert api.ask("GET", f"/people/{person}", token).status_code == 200
        assert api.ask("GET", f"/people/{person}", made(key, {"kid": "app-1"})).status_code == 401, "not as ours"
        ours = made(iss="app")
        assert api.ask("GET", f"/people/{person}", ours).status_code == 401, "nor ours as theirs"
        keys.write_text("no JSON")
        assert api.ask("GET", f"/people/{person}", token).json()["code"] == "CH824"
    with serving() as api:
        assert api.ask("GET", f"/people/{person}", token).json()["code"] == "CH802"


def test_a_persons_token_reaches_that_persons_things_and_cannot_tell_who_else_there_is(
    api: Api, own: str, operator: str, person: str, other: str, link: str
) -> None:
    theirs = tokens.issue(person=other)
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("GET", "/consents"),
        ("PUT", "/consents/sync"),
        ("DELETE", "/consents/sync"),
        ("GET", "/links"),
        ("POST", "/links"),
        ("GET", "/notices"),
        ("GET", "/preferences"),
        ("PATCH", "/preferences"),
        ("PUT", "/contacts/email"),
        ("DELETE", "/contacts/email"),
    ):
        body = {"POST": {"provider": "clinic"}, "PUT": {}, "PATCH": {}}.get(method)
        nobody = api.ask(method, f"/people/00000000-0000-4000-8000-000000000000{path}", theirs, json=body)
        somebody = api.ask(method, f"/people/{person}{path}", theirs, json=body)
        assert (nobody.status_code, somebody.status_code) == (404, 404), (method, path)
        assert _same(nobody.json()) == _same(somebody.json())
        drop = ("x-request-id", "ratelimit", "date")
        alike = [{name: v for name, v in one.headers.lower_items() if name not in drop} for one in (nobody, somebody)]
        assert alike[0] == alike[1]
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("POST", "/sync"),
        ("POST", "/disconnect"),
        ("POST", "/reconnect"),
    ):
        nobody = api.ask(method, f"/links/00000000-0000-4000-8000-000000000000{path}", theirs)
        somebody = api.ask(method, f"/links/{link}{path}", theirs)
        assert (nobody.status_code, somebody.status_code) == (404, 404), (method, path)
        assert _same(nobody.json()) == _same(somebody.json())
    assert api.ask("GET", f"/people/{person}", own).status_code == 200
    assert api.ask("GET", f"/people/{person}", operator).status_code == 200
    assert api.ask("GET", f"/links/{link}", own).status_code == 200
    assert api.ask("POST", "/people", own, json={}).json()["code"] == "CH805"
    for odd in ("..", "%00", "%ED%A0%80", "x" * 150, "%2F", f"{person.upper()}", "'--"):
        assert api.ask("GET", f"/people/{odd}", operator).status_code in (404, 422), odd


def _same(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "instance"}
