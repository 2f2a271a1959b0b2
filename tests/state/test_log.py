"""Logs: canaries go in at every opening, and none comes out."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from charthouse.errors import FetchError
from charthouse.log import configure_logging, get_logger
from charthouse.settings import get_settings

JWT = "eyJhbGciOiJSUzM4NCJ9.eyJjYW5hcnkiOiJjYW5hcnkifQ.c2lnbmF0dXJl"
OPAQUE = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1CanaryCanary"
RESOURCE = '{"resourceType": "Patient", "name": [{"family": "Canary"}]}'


class Telling:
    """Something that says more than it should."""

    def __repr__(self) -> str:
        return "canary"


@pytest.fixture
def out(monkeypatch, tmp_path):
    """What the process logs, all of it; as it was afterwards."""
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("CHARTHOUSE_LOG_LEVEL", "debug")
    get_settings.cache_clear()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("charthouse").setLevel(logging.NOTSET)
    get_settings.cache_clear()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_what_is_ours_to_say_is_said(out):
    log = get_logger("charthouse.sync").bind(run="20261123T204501Z-ab12")
    log.info(
        "batch stored",
        batch="20261123T204501Z-ab12/batch-0001",
        link_id="0f1c2c1e-52b4-4b2c-9f3f-0d8f9f7f3a10",
        resource_type="Observation",
        resources=17,
        seconds=1.5,
        folder=Path("/var/lib/charthouse/landing"),
        content_hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        airflow_run_id="scheduled__2026-11-23T02:00:00+00:00",
        counts={"accepted": 3, "types": ["Patient"]},
    )
    log.debug("100%% of %d", 3)
    first, second = lines(out)
    assert "redacted" not in json.dumps(first)
    assert (first["event"], first["level"], first["logger"]) == ("batch stored", "info", "charthouse.sync")
    assert (first["resources"], first["counts"]) == (17, {"accepted": 3, "types": ["Patient"]})
    assert str(first["timestamp"]).endswith("+00:00")
    assert second["event"] == "100% of 3"


@pytest.mark.parametrize(
    "fields",
    [
        {"access_token": "canary"},
        {"refreshToken": "canary"},
        {"Authorization": "canary"},
        {"id_token_hint": "canary"},
        {"body": "canary"},
        {"resource": {"family": "canary"}},
        {"patient_id": "canary"},
        {"patientId": "canary"},
        {"name": "canary"},
        {"address": ["canary"]},
        {"nested": {"deep": [{"birthDate": "canary", "client_secret": "canary"}]}},
        {"header": "Bearer canary"},
        {"header": f"got {JWT.replace('eyJj', 'eyJcanary')}"},
        {"said": f"kept {OPAQUE}"},
        {"said": "grant_type=refresh_token&refresh_token=canary"},
        {"said": '{"access_token": "canary"}'},
        {"where": "https://fhir.example/Observation?patient=canary&_count=5"},
        {"where": "https://fhir.example/Patient/canary"},
        {"where": "https://fhir.example/Patient/x_canary~2/$everything"},
        {"page_bytes": b"canary"},
        {"page_bytes": bytearray(b"canary")},
        {"said": "canary " * 50},
        {"said": RESOURCE.replace("Canary", "canary")},
        {"said": "<div xmlns='http://www.w3.org/1999/xhtml'>canary</div>"},
        {"thing": Telling()},
        {"error": ValueError("canary")},
    ],
)
def test_no_canary_comes_out_of_a_field(out, fields):
    get_logger("charthouse.sync").warning("something", **fields)
    get_logger("charthouse.sync").warning(f"something {next(iter(fields.values()))}" if "said" in fields else "else")
    assert len(lines(out)) == 2
    assert "canary" not in out.getvalue().lower()
    assert "something" in out.getvalue()


def test_exceptions_are_named_and_placed_but_not_quoted(out):
    log = get_logger("charthouse.sync")
    try:
        try:
            json.loads("canary")
        except ValueError as error:
            raise FetchError("CH106", where="Observation") from error
    except FetchError:
        log.exception("page refused")
    (said,) = lines(out)
    first, second = said["exception"]
    assert "CH106 A page holds invalid JSON: Observation" in first
    assert "test_log.py:" in first
    assert second.startswith("JSONDecodeError at decoder.py:")
    assert "canary" not in out.getvalue()


def test_libraries_pass_the_redactor_too_and_are_heard_from_warnings_on(out):
    library = logging.getLogger("a.library.that.nobody.else.configures")
    library.info("not heard")
    library.warning("Retrying %s after %r", "https://fhir.example/Observation?patient=canary", {"Authorization": "x"})
    try:
        raise RuntimeError("canary")
    except RuntimeError:
        library.exception("lost %s", JWT)
    heard = lines(out)
    assert [line["level"] for line in heard] == ["warning", "error"]
    assert heard[1]["exception"][0].startswith("RuntimeError at test_log.py:")
    assert "canary" not in out.getvalue()
    assert JWT not in out.getvalue()


def test_a_terminal_gets_lines_to_read(out):
    stream = io.StringIO()
    configure_logging(stream, console=True)
    get_logger("charthouse.sync").info("batch stored", batch="b", access_token="canary")
    assert out.getvalue() == "", "the former handler is gone"
    assert "batch stored" in stream.getvalue()
    assert "[redacted]" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue(), "no colours into a file"


def test_without_our_configuration_the_line_is_whole_and_redacted(caplog):
    with caplog.at_level(logging.INFO, logger="charthouse.sync"):
        get_logger("charthouse.sync").info("batch stored", batch="b", resources=3, patient_id="canary")
    assert caplog.messages == ["batch stored batch=b resources=3 patient_id=[redacted]"]
