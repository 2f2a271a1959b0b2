"""A night for somebody's own FHIR server: open, or with a token; and what is said to a server that cannot serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from joserfc.jwk import ECKey

from charthouse.linking.credentials import Tokens
from charthouse.operating.given import patient_ids
from charthouse.partners import smart
from charthouse.partners.client import Client
from charthouse.partners.inspection import fhir_base
from charthouse.settings import Settings, get_settings
from charthouse.state import migrate
from tests.partners.odd_server import Asked, FhirServer, OddServer, Reply, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Installation

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = [sys.executable, "-m", "sandbox"]


@contextmanager
def sandbox(store: Path, profile: str, *more: str) -> Iterator[str]:
    """A sandbox as its own process, playing one provider. The block gets its FHIR base."""
    serve = [*SANDBOX, "serve", "--provider", f"clinic={store}", "--profile", profile, *more]
    with subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["providers"]["clinic"]
        process.terminate()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clinic") / "store.sqlite"
    made = ["generate", "--people", "4", "--seed", "7", "--store", str(file)]
    subprocess.run([*SANDBOX, *made], cwd=ROOT, check=True, capture_output=True, timeout=120)
    return file


def patients(base: str) -> list[str]:
    entries = requests.get(f"{base}/Patient", timeout=10).json()["entry"]
    return [entry["resource"]["id"] for entry in entries]


@pytest.fixture
def installation(tmp_path: Path, new_installation: Any) -> Installation:
    """A home with nobody in it."""
    made: Installation = new_installation(tmp_path / "home")
    return made


def links(installation: Installation) -> list[dict[str, Any]]:
    return installation.json("links", "list")


def test_an_open_server_by_make_twice_and_then_all_of_it(installation: Installation, store: Path) -> None:
    with sandbox(store, "open") as base:
        known = patients(base)
        listed = installation.home.parent / "whom to read"
        listed.write_text(f"\ufeffPatient/{known[0]}  # the first\r\n{base}/Patient/{known[1]};{known[0]}\n")

        def night(**variables: str) -> str:
            words = [f"{name}={value}" for name, value in variables.items()]
            done = subprocess.run(
                ["make", "--no-print-directory", "-o", ".venv/.installed", "nightly", *words],
                cwd=ROOT, env=installation.environment(), capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        first = night(PROVIDER=f" {base}/metadata ", PATIENTS=f"@{listed}")
        assert "Links: 2 new, 0 known" in first
        assert "Charthouse sandbox provider" in first
        ended = installation.json("status")["links"]
        assert ended == {"total": 2, "complete": 2, "partial": 0, "failed": 0, "waiting": 0}
        assert {link["status"] for link in links(installation)} == {"confirmed"}
        assert installation.rows("select count(distinct person_key) as n from lab_results") == [{"n": 2}]
        again = night(PROVIDER=base)
        assert "Links: 0 new, 2 known" in again, "whom it reads is known"
        told = installation.json("plan", links(installation)[0]["link_id"])
        (asked,) = [line for line in told["plan"]["lines"] if line["type"] == "Observation"]
        assert (asked["how"], asked["why"].rpartition("; ")[2]) == ("whole", "what is new"), "it was probed by then"
        assert [label for label, _ in asked["since"]] == ["Observation"]
        assert "Nothing new" in again
        done = installation.run("links", "add", f"{base}/", "--patients", "all")
        assert "Links: 2 new, 2 known" in done.stdout, done.stderr
    assert len(installation.json("providers", "list")) == 1
    assert not any(name in first + again + done.stdout for name in known), "an id is a person's"


def test_a_token_from_a_file_opens_one_patient_and_is_nowhere_to_be_seen(
    installation: Installation, store: Path
) -> None:
    with sandbox(store, "standard") as base:
        control = base.removesuffix("/fhir") + "/sandbox"
        whom = requests.get(f"{control}/people", timeout=10).json()[0]["patient"]
        tokens = smart.sign_in_unattended(base, whom, Client("x"), "http://127.0.0.1/callback")
        file = installation.home.parent / "token.json"
        said = {"access_token": tokens.access_token, "token_type": "Bearer", "expires_in": 3600, "patient": whom}
        file.write_text(json.dumps(said | {"scope": tokens.scope}))
        done = installation.run("nightly", "--provider", base, "--token-file", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert installation.json("status")["links"]["complete"] == 1
        add = ["links", "add", base]
        refused = installation.run(*add, "--patients", whom)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "CH132" in refused.stderr
        assert whom not in refused.stderr
        # The token is taken back: a new one goes to the link that there is.
        order = {"act": "end", "patient": whom}
        requests.post(f"{control}/grants", json=order, timeout=10).raise_for_status()
        assert "CH133" in installation.run(*add, "--token-file", str(file)).stderr
        newer = smart.sign_in_unattended(base, whom, Client("x"), "http://127.0.0.1/callback").access_token
        file.write_text(f"Bearer {newer}\n")
        assert "Links: 0 new, 1 known" in installation.run(*add, "--token-file", str(file)).stdout
        assert (
            Tokens(Settings(home=installation.home)).access_token(links(installation)[0]["link_id"], _nobody) == newer
        )
    for found in installation.home.rglob("*"):
        if found.is_file() and "sandbox" not in found.parts:
            content = found.read_bytes()
            assert tokens.access_token.encode() not in content, found
            assert newer.encode() not in content, found


def test_a_key_gets_the_tokens_of_a_whole_batch(installation: Installation, store: Path) -> None:
    key = ECKey.generate_key("P-384", private=True, parameters={"kid": "one"})
    folder = installation.home.parent
    clients, private = folder / "clients.json", folder / "key.json"
    public = {"keys": [key.as_dict(private=False) | {"alg": "ES384"}]}
    clients.write_text(json.dumps([{"client_id": "backend", "jwks": public}]))
    private.write_text(json.dumps(key.as_dict(private=True)))
    with sandbox(store, "standard", "--clients", str(clients)) as base:
        night = ["nightly", "--provider", base, "--patients", "all", "--key-file", str(private)]
        refused = installation.run(*night, "--client-id", "somebody-else")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "CH150" in refused.stderr
        done = installation.run(*night, "--client-id", "backend")
        assert done.returncode == 0, done.stdout + done.stderr
        assert installation.json("status")["links"]["complete"] == 4
        tokens = requests.get(base.removesuffix("/fhir") + "/sandbox/requests", timeout=10).json()["tokens"]
        assert tokens["grant_types"]["client_credentials"] <= 4, "not one for each link and type"


def _nobody(_: str) -> Any:
    raise AssertionError("there is no refresh token")


def statement(**changes: Any) -> dict[str, Any]:
    rest = [{"mode": "server", "resource": [{"type": "Patient"}, {"type": "Observation"}]}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest} | changes


HTML = Reply(200, b"<!DOCTYPE html><html>Sign in</html>", {"Content-Type": "text/html"})
BAD_REQUEST = as_json({"resourceType": "OperationOutcome", "issue": []}, 400)
EMPTY = as_json({"resourceType": "Bundle", "type": "searchset", "total": 0})


@pytest.mark.parametrize(
    ("metadata", "patient", "given", "code", "said"),
    [
        (HTML, None, "all", "CH130", "a web page came"),
        (Reply(404), None, "all", "CH130", "/metadata: HTTP 404"),
        (Reply(200, b'<?xml version="1.0"?><CapabilityStatement/>'), None, "all", "CH130", "XML came"),
        (as_json({"resourceType": "Conformance", "fhirVersion": "1.0.2"}), None, "all", "CH131", "DSTU2"),
        (as_json(statement(fhirVersion="5.0.0")), None, "all", "CH131", "it is R5"),
        (Reply(401), None, "all", "CH132", "HTTP 401"),
        (as_json(statement()), Reply(401), "all", "CH132", "HTTP 401"),
        (as_json(statement()), Reply(403), "secret-id", "CH132", "HTTP 403"),
        (as_json(statement()), Reply(404), "secret-id,secret-2", "CH134", "2 of 2 (no. 1, no. 2 of the list)"),
        (as_json(statement()), BAD_REQUEST, "secret-id", "CH134", "1 of 1"),
        (as_json(statement()), BAD_REQUEST, "all", "CH135", "CH111"),
        (as_json(statement()), EMPTY, "ALL", "CH136", ""),
        (as_json(statement()), EMPTY, "secret-id, / ", "CH137", "no. 2 of the list is no id"),
        (as_json(statement()), EMPTY, "@/no/such/file", "CH137", "No such file"),
        (as_json(statement(rest=[{"resource": [{"type": "Claim"}]}])), None, "all", "CH139", "it offers no Patient"),
    ],
)
def test_a_server_that_cannot_serve_is_one_sentence(
    known_nobody: None, metadata: Reply, patient: Reply | None, given: str, code: str, said: str
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/fhir/metadata":
            return metadata
        return patient if patient is not None and asked.path.startswith("/fhir/Patient") else Reply(404)

    with OddServer(answer) as server:
        told = refusal(f"{server.url}/fhir", given)
    assert told.startswith(code)
    assert said in told
    assert "\n" not in told
    assert "secret" not in told


@pytest.fixture(scope="module")
def known_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state database in which there is no provider yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARTHOUSE_HOME", str(tmp_path_factory.mktemp("state") / "home"))
        get_settings.cache_clear()
        migrate()
        yield
    get_settings.cache_clear()


def refusal(url: str, given: str, token_file: str | None = None) -> str:
    """The sentence with which a server is refused."""
    from charthouse.errors import CharthouseError
    from charthouse.operating.own_server import OwnServer, link_own_server, look_at
    from charthouse.operating.terminal import console

    with pytest.raises(CharthouseError) as caught:
        link_own_server(look_at(OwnServer(url, (given,), token_file), console()), console())
    return str(caught.value)


def test_a_server_above_its_base_is_told_where_that_is(known_nobody: None) -> None:
    with FhirServer([{"resourceType": "Patient", "id": "p"}]) as server:
        server.rule(lambda asked: Reply(404) if asked.path == "/metadata" else None)
        told = refusal(server.url, "all")
    assert told.startswith("CH130")
    assert f"there is one at {server.base}" in told


def test_an_address_or_a_token_that_cannot_be_used_is_not_quoted(known_nobody: None, tmp_path: Path) -> None:
    assert refusal("https://user:hunter2@clinic.example/fhir", "all").startswith("CH130")
    assert "hunter2" not in refusal("https://user:hunter2@clinic.example/fhir", "all")
    for wrong in ("ftp://clinic.example", "https://", "http://a\\@b/", "https://clinic example/fhir"):
        assert refusal(wrong, "all").startswith("CH130"), wrong
    file = tmp_path / "token"
    for text in ("", "hunter2 and more", '{"error": "hunter2"}', '{"access_token": "hunter2", "expires_in": 60}'):
        file.write_text(text)
        os.utime(file, (time.time() - 3600,) * 2)
        told = refusal("https://clinic.example/fhir", "all", str(file))
        assert told.startswith("CH138"), text
        assert "hunter2" not in told
    file.write_text("hunter2")
    assert "clear text" in refusal("http://clinic.example/fhir", "all", str(file))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://hapi.fhir.org/baseR4/", "https://hapi.fhir.org/baseR4"),
        ("  <https://fhir.example/api/FHIR/R4/metadata?_format=json> ", "https://fhir.example/api/FHIR/R4"),
        ("http://localhost:8080/fhir/Patient/12/_history/1", "http://localhost:8080/fhir"),
        ("localhost:8080/fhir", "http://localhost:8080/fhir"),
        ("fhir.example/R4/.well-known/smart-configuration", "https://fhir.example/R4"),
        ("HTTPS://Fhir.Example/Observation?patient=1", "https://Fhir.Example"),
    ],
)
def test_the_base_that_an_address_means(written: str, meant: str) -> None:
    assert fhir_base(written) == meant


def test_ids_as_people_write_them() -> None:
    assert patient_ids(["1,2 , Patient/3;https://a.example/fhir/Patient/4\n5\t'under_score'", '["1","e.x-7"]']) == (
        "1", "2", "3", "4", "5", "under_score", "e.x-7",
    )  # fmt: skip
    assert patient_ids([" All\n"]) is None
