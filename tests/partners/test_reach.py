"""Where connections may lead: nowhere inside, however an address is written, and whoever sends us there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from charthouse.errors import FetchError
from charthouse.partners import smart
from charthouse.partners.addresses import Reach
from charthouse.partners.client import Client
from charthouse.partners.http import HttpClient
from charthouse.settings import Settings, get_settings
from tests.partners.odd_server import OddServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def strict(tmp_path: Path) -> Settings:
    """Settings as they are where nobody has permitted anything."""
    return Settings(home=tmp_path, private_addresses="", request_tries=1, requests_per_second=5000)


@pytest.fixture
def inside() -> Iterator[OddServer]:
    """A server on this machine that ought not to be spoken to."""
    with OddServer(lambda _: Reply(body=b"{}")) as server:
        yield server


@pytest.mark.parametrize(
    "name",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0.0.0.0", "[::ffff:127.0.0.1]"],  # noqa: S104
)
def test_this_machine_is_not_asked_by_any_of_its_names(strict: Settings, inside: OddServer, name: str) -> None:
    port = inside.url.rpartition(":")[2]
    with HttpClient(strict) as client, pytest.raises(FetchError) as caught:
        client.get(f"http://{name}:{port}/fhir/metadata", token="canary")
    assert caught.value.code in {"CH141", "CH101"}, "refused, or no name that the system knows"
    assert inside.connections == 0, "not even connected to"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((address, False) for address in ("10.0.0.1", "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.64.0.1")),
        *((address, False) for address in ("::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1")),
        *((address, False) for address in ("2002:7f00:1::", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "nonsense")),  # noqa: S104
        *((address, True) for address in ("93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822")),
    ],
)
def test_which_addresses_are_public(strict: Settings, address: str, public: bool) -> None:
    assert Reach.of(strict).permits(address, 443) is public


def test_a_name_is_judged_by_where_it_leads_when_it_is_connected_to(
    strict: Settings, inside: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public name that leads inside: what is looked at is what is connected to."""
    port = int(inside.url.rpartition(":")[2])
    real = socket.getaddrinfo

    def resolver(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "clinic.example":
            return real(host, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with HttpClient(strict) as client, pytest.raises(FetchError, match="CH141"):
        client.get(f"http://clinic.example:{port}/fhir", token="canary")
    assert inside.connections == 0
    permitted = strict.model_copy(update={"private_addresses": "10.0.0.0/8, 127.0.0.0/8"})
    with HttpClient(permitted) as client:
        assert client.get(f"http://clinic.example:{port}/fhir").body == b"{}"
    assert inside.asked[0].headers["Host"] == f"clinic.example:{port}"


def test_the_sandbox_of_the_home_is_reached_while_it_runs_and_nothing_beside_it(
    strict: Settings, inside: OddServer
) -> None:
    strict.sandbox_address.parent.mkdir()
    strict.sandbox_address.write_text(inside.url.rpartition(":")[2])
    with HttpClient(strict) as client, OddServer(lambda _: Reply(body=b"{}")) as other:
        assert client.get(inside.url).body == b"{}"
        with pytest.raises(FetchError, match="CH141"):
            client.get(other.url)
    assert other.connections == 0


def test_a_proxy_is_not_sent_inside_either(
    strict: Settings, inside: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", inside.url)
    monkeypatch.setenv("no_proxy", "")
    with HttpClient(strict) as client:
        with pytest.raises(FetchError, match="CH141"):
            client.get("http://169.254.169.254/latest")
        assert inside.asked == []
        assert client.get("http://clinic.example/fhir").body == b"{}", "the proxy itself may be inside"


def test_neither_does_a_sign_in_lead_inside(
    strict: Settings, inside: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that names an address inside as its token endpoint gets no client to write there for it."""
    for name in ("CHARTHOUSE_PRIVATE_ADDRESSES", "CHARTHOUSE_HOME"):
        monkeypatch.setenv(name, str(strict.home) if name.endswith("HOME") else "10.0.0.0/8")
    get_settings.cache_clear()
    try:
        with pytest.raises(FetchError):
            smart.refresh(f"{inside.url}/fhir", "canary", Client("app"))
    finally:
        get_settings.cache_clear()
    assert inside.connections == 0


@pytest.mark.parametrize("said", ["everything", "10.0.0.0/99", "localhost"])
def test_a_setting_that_is_no_network_is_refused(said: str) -> None:
    with pytest.raises(ValidationError, match="private_addresses"):
        Settings(private_addresses=said)
