"""HTTP towards providers: only reading, trying again, and keeping tokens and patients to itself."""

from __future__ import annotations

import ast
import gzip
import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backports import zstd

import charthouse
from charthouse.errors import FetchError
from charthouse.partners import http
from charthouse.partners.addresses import origin, within
from charthouse.partners.bulk_http import BulkHttp, ask_by_post, remove_job
from charthouse.partners.http import HttpClient
from charthouse.partners.pacing import next_minute, retry_after
from charthouse.partners.partner_http import PartnerHttp
from charthouse.partners.reading import ReadOnlySession
from charthouse.partners.transport import ReadOnlyError, bounded_pool
from tests.partners.odd_server import Asked, OddServer, Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from charthouse.settings import Settings

SECRET = "Observation?patient=canary-patient-7"
TOKEN = "canary-token-7"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_nothing_but_get_leaves(method: str) -> None:
    with OddServer(lambda _: Reply()) as server:
        with ReadOnlySession() as session, pytest.raises(ReadOnlyError):
            session.request(method, server.url)
        with ReadOnlySession() as session, pytest.raises(ReadOnlyError):
            session.request("GET", server.url, data=b"a body")
        pool, target = bounded_pool(server.url, 1, read_only=True)
        with pytest.raises(ReadOnlyError):
            pool.urlopen(method, target)
        with pytest.raises(ReadOnlyError):
            pool.urlopen("GET", target, body=b"a body")
        assert server.asked == []


def test_no_answer_that_is_stored_somewhere_is_taken_unasked(quick: Settings) -> None:
    with (
        OddServer(lambda _: Reply(body=b"{}")) as at,
        HttpClient(quick) as searches,
        BulkHttp(quick, at.url) as exports,
    ):
        searches.get(f"{at.url}/{SECRET}")
        exports.get(f"{at.url}/Patient/$export", None, {"Prefer": "respond-async"})
        assert [asked.headers.get("Cache-Control") for asked in at.asked] == ["no-cache", "no-cache"]


def test_what_is_no_get_asks_for_an_export_or_ends_one_of_ours(quick: Settings) -> None:
    """A kick-off by POST goes to `$export`, and there are no other places in the house from which verbs are sent."""
    with OddServer(lambda _: Reply(202)) as server:
        for address in ("/fhir/Observation", "/fhir/$export?_type=Patient", "/fhir/Patient/$export/", "/fhir/$exports"):
            with pytest.raises(ReadOnlyError):
                ask_by_post(server.url + address, b"{}", None, quick)
        assert server.asked == []
        ask_by_post(f"{server.url}/fhir/Group/1/$export", b"{}", None, quick)
        remove_job(f"{server.url}/fhir/status/1", None, quick)
        assert [asked.method for asked in server.asked] == ["POST", "DELETE"]
    root = Path(charthouse.__file__).parent
    sent = {
        (file.name, call.args[1].value)
        for file in root.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "_sending"
        if isinstance(call.args[1], ast.Constant)
    }
    assert sent == {("bulk_http.py", "POST"), ("bulk_http.py", "DELETE")}


def test_the_client_has_no_way_to_write() -> None:
    verbs = {"post", "put", "patch", "delete", "request", "send", "head", "options"}
    assert not verbs & {name.lower() for name in dir(HttpClient)}


@pytest.mark.parametrize(
    "below",
    ["", "/", "/Patient", "?_type=Patient", "/../4_0_0/Patient/1", "//Patient"],
    ids=lambda path: path or "base",
)
@pytest.mark.parametrize("host", ["partner.example", "PARTNER.example:443"])
def test_what_speaks_to_a_partner_sends_nothing_to_its_fhir_server(quick: Settings, host: str, below: str) -> None:
    http = PartnerHttp(quick, 1.0, "https://partner.example/fhir/4_0_0/")
    for method in ("POST", "PUT", "PATCH", "DELETE", "GET"):
        with pytest.raises(FetchError, match=r"CH179.*only read"):
            http.send(method, f"https://{host}/fhir/4_0_0{below}", b"", {})
    assert http.requests == 0


def test_nobody_else_in_the_house_can_write() -> None:
    """Outside the read-only client and the sign-in, `requests` is used for `get` alone, and nothing else like it."""
    root = Path(charthouse.__file__).parent
    found = set()
    for file in root.rglob("*.py"):
        name = file.relative_to(root).as_posix()
        nodes = list(ast.walk(ast.parse(file.read_text())))
        library = any(isinstance(node, ast.Import) and node.names[0].name == "requests" for node in nodes)
        for node in nodes:  # without the import, `requests` are those of people (`charthouse.privacy.requests`)
            named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if library and named and node.value.id == "requests":
                found.add((name, node.attr))
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                if module.partition(".")[0] in {"urllib3", "httpx", "aiohttp", "authlib"} or module.startswith(
                    ("requests.", "http.client", "urllib.request")
                ):
                    found.add((name, module))
    homes = {
        "partners/backend_services.py",
        "partners/bulk_files.py",
        "partners/bulk_http.py",
        "partners/everything.py",
        "partners/http.py",
        "partners/reading.py",
        "partners/smart.py",
        "partners/transport.py",
        "partners/addresses.py",
        "partners/client_auth.py",
        "partners/lines.py",
        "partners/token_endpoint.py",
    }
    # Webhooks go to the app's own push service, at an address of the settings, and never to a provider;
    # what the sandbox is told goes to the sandbox; what a partner or a verifier is asked goes to its own interface,
    # and never to the base at which its FHIR records are read (`PartnerHttp.only_read`).
    away = {
        "notify/channels/webhook.py",
        "operating/sandbox_identity.py",
        "operating/sandbox_network.py",
        "operating/sandbox_process.py",
        "partners/partner_http.py",
    }
    elsewhere = {use for name, use in found if name not in homes | away}
    assert elsewhere <= {"get", "RequestException", "Timeout"}
    # `transport` reads from a `Session` what the environment says of proxies and certificates, and sends nothing by it.
    at_home = {use for name, use in found if name in homes - {"partners/reading.py", "partners/transport.py"}}
    assert not at_home & {"post", "put", "patch", "delete", "request", "Session"}


@pytest.mark.parametrize(
    ("status", "code", "requests"),
    [
        *((status, code, 1) for status, code in ((401, "CH102"), (403, "CH103"), (404, "CH104"), (410, "CH104"))),
        *((status, code, 1) for status, code in ((400, "CH111"), (422, "CH111"), (501, "CH111"), (304, "CH121"))),
        *((status, "CH109", 3) for status in (408, 429, 500, 503, 507, 529, 599)),
    ],
)
def test_a_status_becomes_a_code(quick: Settings, status: int, code: str, requests: int) -> None:
    with OddServer(lambda _: Reply(status, b"canary-body")) as server, HttpClient(quick) as client:
        with pytest.raises(FetchError) as caught:
            client.get(f"{server.url}/{SECRET}", token=TOKEN)
        assert caught.value.code == code
        assert len(server.asked) == requests == client.requests
        assert "canary" not in str(caught.value)
        assert server.url.removeprefix("http://") in str(caught.value)


@pytest.mark.parametrize(
    "header",
    ["1", format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), "soon"],
    ids=["seconds", "date", "nonsense"],
)
def test_a_busy_server_is_asked_again_and_never_waited_for_longer_than_permitted(quick: Settings, header: str) -> None:
    answers = iter([Reply(429, headers={"Retry-After": header}), Reply(503, headers={"Retry-After": header})])
    with OddServer(lambda _: next(answers, Reply(body=b"{}"))) as server, HttpClient(quick) as client:
        began = time.monotonic()
        assert client.get(server.url).body == b"{}"
        took = time.monotonic() - began
    assert len(server.asked) == 3
    assert 0.06 < took < 60


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("120", None, 120),
        ("-120", None, None),
        ("", None, None),
        (None, None, None),
        ("9" * 400, None, 999999999),
        ("Mon, 02 Nov 2026 10:00:30 GMT", "Mon, 02 Nov 2026 10:00:00 GMT", 30),
        ("Mon, 02 Nov 2026 10:00:30 GMT", "Mon, 02 Nov 2026 10:01:00 GMT", 0),
        ("1793613900", "Mon, 02 Nov 2026 10:00:00 GMT", 300),
        ("1793613900000", "Mon, 02 Nov 2026 10:00:00 GMT", 300),
        ("1793613600", "Mon, 02 Nov 2026 10:01:00 GMT", 0),
        ("Mon, 02 Nov 2020 10:00:30 GMT", "nonsense", 0),
        ("Mon, 99999999999999999999999 Jan 2024 00:00:00 GMT", None, None),
    ],
)
def test_retry_after_is_read_by_the_servers_own_clock(
    header: str | None, date: str | None, seconds: float | None
) -> None:
    assert retry_after(header, date) == seconds


def test_a_full_quota_is_waited_out_by_all(quick: Settings) -> None:
    """429 without Retry-After: the quota ends with the minute, or when the settings say that it was enough."""
    settings = quick.model_copy(update={"retry_wait_max": 0.6})
    answers = iter([Reply(429), Reply(429)])
    with OddServer(lambda _: next(answers, Reply(body=b"{}"))) as server, HttpClient(settings) as client:
        threads = [threading.Thread(target=client.get, args=(server.url,)) for _ in range(2)]
        threads[0].start()
        while len(server.asked) < 2:
            time.sleep(0.005)
        time.sleep(0.1)
        quota = next_minute()
        began = time.monotonic()
        threads[1].start()
        threads[1].join()
        assert time.monotonic() - began > min(0.45, quota)
        threads[0].join()


def test_retry_after_is_waited_for_by_every_thread(quick: Settings) -> None:
    settings = quick.model_copy(update={"retry_wait_max": 5.0})
    answers = iter([Reply(429, headers={"Retry-After": "1"})])
    with OddServer(lambda _: next(answers, Reply(body=b"{}"))) as server, HttpClient(settings) as client:
        first = threading.Thread(target=client.get, args=(server.url,))
        first.start()
        while not server.asked:
            time.sleep(0.005)
        time.sleep(0.1)
        began = time.monotonic()
        client.get(server.url)
        assert time.monotonic() - began > 0.7
        first.join()


def test_lost_lines(quick: Settings) -> None:
    whole = b'{"resourceType":"Bundle"}'
    answers = iter([Reply(body=whole, cut=7), Reply(body=whole, cut=0)])
    with OddServer(lambda _: next(answers, Reply(body=whole))) as server, HttpClient(quick) as client:
        assert client.get(server.url).body == whole
    with HttpClient(quick) as client, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="CH101") as caught:
            client.get(f"http://127.0.0.1:{nobody.getsockname()[1]}/{SECRET}", token=TOKEN)
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert client.requests == 3


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (OK + b"Content-Length: 1000\r\n\r\n", b"x"),
        (OK, b"X-More: 1\r\n"),
        (OK + b"X-Long: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"1;", b"x"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-Trailer: 1\r\n"),
    ],
    ids=["body", "headers", "one header", "interim answers", "a chunk's size", "trailers"],
)
def test_a_server_that_never_comes_to_an_end_meets_a_deadline(quick: Settings, head: bytes, again: bytes) -> None:
    settings = quick.model_copy(update={"request_timeout": 0.2, "page_timeout": 0.4, "request_tries": 1})
    dripping = lambda _: Reply(raw=chain([head], repeat(again, 600)), drip=0.05)  # noqa: E731
    with OddServer(dripping) as server, HttpClient(settings) as client:
        began = time.monotonic()
        with pytest.raises(FetchError, match="CH101"):
            client.get(server.url)
        assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        OK + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        OK + b"X-Many: 1\r\n" * 200 + b"\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\n{}",
        OK + b"Content-Length: 500\r\n\r\n{}",
        CHUNKED + b"500\r\n{}",
        CHUNKED + b"-5\r\n{}\r\n",
        CHUNKED + b"zz\r\n{}\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=lambda answer: f"{len(answer)} bytes {answer[17:34]!r}",
)
def test_what_is_no_whole_answer_is_a_lost_line(quick: Settings, answer: bytes) -> None:
    with OddServer(lambda _: Reply(raw=[answer])) as server, HttpClient(quick) as client:
        with pytest.raises(FetchError) as caught:
            client.get(server.url)
        assert caught.value.code == "CH101"
        assert len(server.asked) == quick.request_tries


def test_the_clients_time_runs_out(quick: Settings) -> None:
    with OddServer(lambda _: Reply(body=b"{}")) as server, HttpClient(quick, seconds=0.2) as client:
        assert client.get(server.url).body == b"{}"
        time.sleep(0.25)
        with pytest.raises(FetchError, match="CH124"):
            client.get(server.url)
        assert len(server.asked) == 1


def test_gzip_is_kept_as_it_came(quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"a": 1.10}' * 1000
    member = gzip.compress(body)
    coded = {"Content-Encoding": "gzip"}
    with HttpClient(quick) as client:
        with OddServer(lambda _: Reply(body=member, headers=coded)) as server:
            answer = client.get(server.url)
            assert (answer.body, answer.frame) == (body, member)
            assert server.asked[0].headers["Accept-Encoding"] == "gzip, zstd"
        with OddServer(lambda _: Reply(body=member + member, headers=coded)) as server:
            answer = client.get(server.url)
            assert (answer.body, answer.frame) == (body + body, None)
        with (
            OddServer(lambda _: Reply(body=member[:-9], headers=coded)) as server,
            pytest.raises(FetchError, match="CH101"),
        ):
            client.get(server.url)
        with OddServer(lambda _: Reply(body=member + b"\0\0", headers=coded)) as server:
            answer = client.get(server.url)
            assert (answer.body, answer.frame) == (body, None), "padding behind it is no part of it"
        many = gzip.compress(b"") * 100_000  # each would cost a copy of all behind it
        with OddServer(lambda _: Reply(body=many, headers=coded)) as server, pytest.raises(FetchError, match="CH120"):
            client.get(server.url)
        monkeypatch.setattr(http, "MAX_BODY", 5000)
        for reply in (Reply(body=member, headers=coded), Reply(body=body)):
            with OddServer(lambda _, reply=reply: reply) as server, pytest.raises(FetchError, match="CH120"):
                client.get(server.url)


def test_zstandard_is_kept_as_it_came_and_is_no_bomb(quick: Settings) -> None:
    body = b'{"a": 1.10}' * 1000
    frame = zstd.compress(body)
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    wide = packer.compress(body) + packer.flush()  # whoever unpacks it would need 128 MB
    bomb = zstd.compress(bytes(http.MAX_BODY + 1))
    coded = {"Content-Encoding": "zstd"}
    said = {frame: body, frame * 2: body * 2, frame[:-3]: "CH101", b"nonsense" + frame: "CH101", wide: "CH101"}
    said |= {bomb: "CH120", zstd.compress(b"") * 100: "CH120"}
    for sent, expected in said.items():
        with OddServer(lambda _, sent=sent: Reply(body=sent, headers=coded)) as server, HttpClient(quick) as client:
            if isinstance(expected, bytes):
                answer = client.get(server.url)
                assert (answer.body, answer.frame) == (expected, sent if sent == frame else None)
            else:
                with pytest.raises(FetchError, match=expected):
                    client.get(server.url)
    unasked = Reply(body=body, headers={"Content-Encoding": "br"})
    with (
        OddServer(lambda _: unasked) as server,
        HttpClient(quick) as client,
        pytest.raises(FetchError, match="CH105"),
    ):
        client.get(server.url)


def test_a_redirect_takes_the_token_nowhere_else(quick: Settings) -> None:
    with OddServer(lambda _: Reply(body=b"{}")) as elsewhere, HttpClient(quick) as client:
        away = Reply(307, headers={"Location": f"{elsewhere.url}/fhir"})
        with OddServer(lambda _: away) as server, pytest.raises(FetchError, match="CH121"):
            client.get(server.url, token=TOKEN)
        assert elsewhere.asked == []
        near = Reply(308, headers={"Location": "/moved?x=1"})
        with OddServer(lambda asked: near if asked.path == "/" else Reply(body=b"[]")) as server:
            assert client.get(f"{server.url}/", token=TOKEN).body == b"[]"
            assert [asked.headers["Authorization"] for asked in server.asked] == [f"Bearer {TOKEN}"] * 2
        with OddServer(lambda _: near) as server, pytest.raises(FetchError, match="CH121"):
            client.get(server.url)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_nobody_reads_a_body_without_end(quick: Settings, status: int) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 %d No\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n" % status
        for _ in range(1000):
            sent += 2**17
            yield b"20000\r\n" + bytes(2**17) + b"\r\n"

    settings = quick.model_copy(update={"request_tries": 1})
    with OddServer(lambda _: Reply(raw=endless())) as server, HttpClient(settings) as client, pytest.raises(FetchError):
        client.get(server.url)
    assert sent < 2**25


@pytest.mark.parametrize(
    "disguise",
    [
        "http://{evil}\\@{good}/fhir",
        "http://{good}@{evil}/",
        "http://{evil}#@{good}/",
        "//{evil}/",
        "\t//{evil}/",
        "http://[",
    ],
)
def test_no_disguise_takes_the_token_elsewhere(quick: Settings, disguise: str) -> None:
    with OddServer(lambda _: Reply(body=b"{}")) as elsewhere, HttpClient(quick) as client:

        def answer(asked: Asked) -> Reply:
            hosts = {"good": asked.headers["Host"], "evil": elsewhere.url.removeprefix("http://")}
            return Reply(302, headers={"Location": disguise.format(**hosts)})

        with OddServer(answer) as server:
            with pytest.raises(FetchError, match="CH121"):
                client.get(server.url, token=TOKEN)
            hosts = {"good": server.url.removeprefix("http://"), "evil": elsewhere.url.removeprefix("http://")}
            if origin(url := disguise.format(**hosts)) == origin(server.url):
                with pytest.raises(FetchError):
                    client.get(url, token=TOKEN)
        assert elsewhere.asked == []


@pytest.mark.parametrize("token", ["two\r\nX-Lines: 1", "with space", "", "ünicode"])
def test_a_token_that_no_header_can_carry_is_not_quoted(quick: Settings, token: str) -> None:
    with OddServer(lambda _: Reply()) as server, HttpClient(quick) as client:
        with pytest.raises(FetchError) as caught:
            client.get(server.url, token=token)
        assert caught.value.code == "CH102"
        assert not token or token not in str(caught.value)
        assert server.asked == []


@pytest.mark.parametrize(
    "url", ["ftp://example.org/fhir", "file:///etc/passwd", "no url", "http://", "http://[::1", "http://127.0.0.1\\["]
)
def test_what_is_no_web_address_is_not_asked(quick: Settings, url: str) -> None:
    with HttpClient(quick) as client, pytest.raises(FetchError, match="CH104"):
        client.get(url)


def test_the_bucket_is_shared_and_connections_are_kept(quick: Settings) -> None:
    settings = quick.model_copy(update={"requests_per_second": 100.0})
    with OddServer(lambda _: Reply(body=b"{}")) as server, HttpClient(settings) as client:

        def many() -> None:
            for _ in range(16):
                client.get(server.url)

        began = time.monotonic()
        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        assert took > 0.6, "64 requests, evenly, at 100 a second"
        assert server.connections <= 4


def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    quick: Settings, certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OddServer(lambda _: Reply(body=b"{}"), tls) as server:
        with HttpClient(quick) as client, pytest.raises(FetchError, match="CH101"):
            client.get(server.url, token=TOKEN)
        assert server.asked == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with HttpClient(quick) as client:
            assert client.get(server.url, token=TOKEN).body == b"{}"


def test_an_encrypted_base_is_never_asked_in_clear_text() -> None:
    home = origin("https://p.example/fhir")
    assert within("http://p.example/fhir?page=2&x=%7C", home) == "https://p.example/fhir?page=2&x=%7C"
    assert within("https://P.example:443/fhir", home) == "https://P.example:443/fhir"
    for url in ("http://p.example:8080/fhir", "http://q.example/fhir", "https://p.example:444/", "javascript:1", None):
        assert within(url, home) is None
    assert within("https://p.example/", origin("http://p.example/")) is None


def test_no_log_line_names_a_patient(quick: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = iter([Reply(500), Reply(body=b"half", cut=1)])
    with OddServer(lambda _: next(answers, Reply(body=b"{}"))) as server, HttpClient(quick) as client:
        client.get(f"{server.url}/{SECRET}", token=TOKEN)
        assert len(server.asked) == 3
    assert "canary" not in caplog.text
    assert "canary" not in repr(client.__dict__)


def test_loopback_needs_no_proxy(quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with OddServer(lambda _: Reply(body=b"{}")) as server, HttpClient(quick) as client:
        assert client.get(server.url).body == b"{}"


def test_nothing_is_carried_from_one_link_to_another(
    quick: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with (
        OddServer(lambda _: Reply(body=b"{}", headers={"Set-Cookie": "session=canary; Path=/"})) as server,
        HttpClient(quick) as client,
    ):
        client.get(server.url, token="first")
        client.get(server.url, token="second")
        client.get(server.url)
        sent = [(asked.headers.get("Authorization"), asked.headers.get("Cookie")) for asked in server.asked]
    assert sent == [("Bearer first", None), ("Bearer second", None), (None, None)]
