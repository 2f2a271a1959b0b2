"""Uploading, by the reference client over a real server: in chunks, cut, gone on with, twice, killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.phone import CutError, Reading, RefusedError, digest, written
from tests.phone.conftest import House, patient, phone_with, standard_records, vaccine

if TYPE_CHECKING:
    from sandbox.phone import App

MANY = 400
BUFFERED = 2**17
"""Bytes that a server has taken from the line and nobody has read when the line is cut."""


def many() -> list[dict[str, Any]]:
    return [patient(), *(vaccine(f"v{number}", note=[{"text": "x" * 200}]) for number in range(MANY))]


def begun(house: House, records: list[dict[str, Any]]) -> tuple[App, str, Reading]:
    store, source = phone_with(records)
    app = house.app(house.person(), store)
    link = app.say_state()["data_sources"][0]["link_id"]
    return app, link, app.read(source.id, page=100)


def test_a_reading_is_uploaded_judged_and_named_in_no_log(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    app, link, reading = begun(house, standard_records())
    found = app.upload(link, reading, chunk=700)
    assert (found["status"], found["offset"]) == ("accepted", reading.length)
    assert found["records"] == {"PERSONAL_DETAILS": 1, "VACCINES": 2, "LABORATORY_RESULTS": 2, "VITAL_SIGNS": 1}
    assert found["left_out"] == {}
    [file] = house.uploads()
    assert b"Quorvendish" not in file.read_bytes()
    assert {oct(path.stat().st_mode)[-3:] for path in (file.parent, file.parent.parent)} == {"700"}
    assert oct(file.stat().st_mode)[-3:] == "600"
    written_down = "".join(capfd.readouterr())
    assert not [word for word in ("Quorvendish", "v1", app.device, link, reading.sha256) if f'"{word}"' in written_down]


def test_a_cut_upload_goes_on_at_the_byte(house: House) -> None:
    app, link, reading = begun(
        house, [patient(), *(vaccine(f"v{n}", note=[{"text": "x" * 9_000}]) for n in range(300))]
    )
    upload = app.begin(link, reading)
    for at in (0, 1, 17, 4_999, 1_000_001, 1_600_000, reading.length - 1):
        with pytest.raises(CutError):
            app.send(link, upload, reading, chunk=1_700_000, cut_at=at)
        came, complete = app.offset(link, upload)
        assert max(0, at - BUFFERED) <= came <= at
        assert not complete
    assert app.begin(link, reading) == upload, "whoever lost the address finds it again"
    app.send(link, upload, reading, chunk=33_333)
    assert app.verdict(link, upload)["records"] == {"PERSONAL_DETAILS": 1, "VACCINES": 300}


def test_a_chunk_that_is_not_what_it_says_leaves_nothing(house: House) -> None:
    app, link, reading = begun(house, many())
    upload = app.begin(link, reading)
    path, body = f"/links/{link}/uploads/{upload}", reading.file.seek(0) or reading.file.read(1000)

    def sent(**headers: str) -> tuple[int, str]:
        told = {
            "Content-Type": "application/partial-upload",
            "Upload-Offset": "0",
            "Upload-Complete": "?0",
            "Content-Digest": digest(body),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            app._ask("PATCH", path, data=body, headers={name: value for name, value in told.items() if value})
        except RefusedError as error:
            return error.status, error.code
        return 204, ""

    assert sent(Content_Digest=digest(body + b"!")) == (400, "CH981")
    assert sent(Content_Digest="") == (400, "CH980")
    assert sent(Content_Digest="sha-256=abc") == (400, "CH980")
    assert sent(Content_Type="application/json") == (400, "CH989")
    assert sent(Upload_Offset="") == (400, "CH989")
    assert sent(Upload_Complete="true") == (400, "CH989")
    assert sent(Upload_Offset="7") == (409, "CH979")
    assert sent(Upload_Complete="?1")[1] == "CH989"
    assert app.offset(link, upload) == (1000, False), "the bytes were right; the claim to be complete was not"
    assert sent(Upload_Offset="1000", Content_Digest=f"sha-512=:AA==:, {digest(body)}") == (204, "")
    app.send(link, upload, reading)
    found = app.verdict(link, upload)
    assert (found["status"], found["code"]) == ("refused", "CH982"), "the first kilobyte stands in it twice"
    assert house.uploads() == []
    assert sent() == (409, "CH987")
    with pytest.raises(RefusedError, match="409 CH988"):
        app.begin(link, Reading(reading.id, "changes", reading.types, reading.file, reading.length, reading.sha256))


def test_bytes_beyond_the_length_and_a_chunk_beyond_the_limit(house: House) -> None:
    app, link, reading = begun(house, standard_records())
    upload = app.begin(link, reading)
    reading.file.seek(0, io.SEEK_END)
    reading.file.write(b" ")
    longer = Reading(reading.id, reading.mode, reading.types, reading.file, reading.length + 1, reading.sha256)
    with pytest.raises(RefusedError, match="413 CH978"):
        app.send(link, upload, longer)
    address = f"{app.url}/links/{link}/uploads/{upload}"
    token = app._token()
    told = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/partial-upload",
        "Upload-Offset": "0",
        "Upload-Complete": "?0",
        "Content-Digest": digest(b"x" * 5_000_001),
    }
    for body in (b"x" * 5_000_001, (b"x" * 1_000_000 for _ in range(6))):  # with a length, and without
        answer = requests.patch(address, data=body, headers=told, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (413, "CH978")
    assert app.offset(link, upload) == (0, False)


def test_the_window_of_the_platform(house: House) -> None:
    app, link, _ = begun(house, standard_records())
    size = 36_000_000
    reading = written(({"type": "VACCINES", "data": "x" * 999_000} for _ in range(36)), "full", ["VACCINES"])
    assert reading.length > size - 100_000
    upload = app.begin(link, reading)
    with pytest.raises(RefusedError, match="429 CH977") as refused:
        app.send(link, upload, reading)
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 900
    assert app.offset(link, upload)[0] == 35_000_000, "what was permitted is kept, and goes on later"


def test_sent_twice_at_once_it_is_there_once(house: House) -> None:
    app, link, reading = begun(house, many())
    other = house.app(app.person, app.store, device=app.device)
    reading.file.seek(0)
    content = reading.file.read()
    copy = Reading(reading.id, reading.mode, reading.types, io.BytesIO(content), reading.length, reading.sha256)
    outcomes: list[str] = []

    def run(one: App, its: Reading) -> None:
        for _ in range(200):
            try:
                upload = one.begin(link, its)
                one.send(link, upload, its, chunk=5_000)
                outcomes.append(upload)
                return
            except RefusedError as error:  # the other is at it, or was quicker: ask where to go on
                if error.code not in ("CH979", "CH983", "CH987"):
                    raise

    threads = [threading.Thread(target=run, args=pair) for pair in ((app, reading), (other, copy))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 2
    assert len(set(outcomes)) == 1
    assert app.verdict(link, outcomes[0])["records"]["VACCINES"] == MANY


def test_an_upload_given_up_leaves_nothing(house: House) -> None:
    app, link, reading = begun(house, many())
    upload = app.begin(link, reading)
    with pytest.raises(CutError):
        app.send(link, upload, reading, chunk=50_000, cut_at=20_000)
    app._ask("DELETE", f"/links/{link}/uploads/{upload}")
    assert house.uploads() == []
    with pytest.raises(RefusedError, match="404"):
        app.offset(link, upload)


@pytest.mark.crash
def test_a_server_that_is_killed_in_the_middle_of_a_chunk(house: House) -> None:
    app, link, reading = begun(house, many())
    upload = app.begin(link, reading)
    command = [str(Path(sys.executable).with_name("charthouse")), "serve", "--port", "0"]
    for at in (40_000, 90_000):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ, text=True
        )
        try:
            assert process.stdout is not None
            there = house.app(app.person, app.store, device=app.device, url=process.stdout.readline().split()[-1])
            before, _ = there.offset(link, upload)
            _half_a_chunk(there, link, upload, reading, at)
            os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
        assert before <= app.offset(link, upload)[0] <= at
    app.send(link, upload, reading, chunk=20_000)
    assert app.verdict(link, upload)["status"] == "accepted"


def _half_a_chunk(app: App, link: str, upload: str, reading: Reading, at: int) -> None:
    """Send whole chunks up to near a byte, then leave a chunk hanging open there."""
    import socket
    from urllib.parse import urlsplit

    begin, _ = app.offset(link, upload)
    reading.file.seek(begin)
    body = reading.file.read(at - begin + 10_000)
    place = urlsplit(app.url)
    line = socket.create_connection((place.hostname or "", place.port or 80), timeout=20)
    head = (
        f"PATCH {place.path}/links/{link}/uploads/{upload} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {app._token()}\r\nContent-Type: application/partial-upload\r\n"
        f"Upload-Offset: {begin}\r\nUpload-Complete: ?0\r\nContent-Digest: {digest(body)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    line.sendall(head.encode() + body[: at - begin])
