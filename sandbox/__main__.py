"""The sandbox's command line: `python -m sandbox serve|load|generate|people|phone`."""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from sandbox import phone_people
from sandbox.clients import ClientsError
from sandbox.loader import SourceError, load_folder
from sandbox.profiles import ProfileError
from sandbox.store import Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox.network import Network
    from sandbox.provider import Provider


class SettingError(Exception):
    """An option that cannot be kept. The text is one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 1 for what cannot be done, 2 for a SOURCE that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A FHIR R4 provider to try things with.")
    commands = parser.add_subparsers(required=True)
    _serve_arguments(commands.add_parser("serve", help="serve stores as providers"))
    _load_arguments(commands.add_parser("load", help="make a store hold what a folder of FHIR files holds"))
    _generate_arguments(commands.add_parser("generate", help="make people up"))
    phone_people.arguments(commands.add_parser("phone", help="act as the app on a made-up person's phone"))
    _people_arguments(commands.add_parser("people", help="print as JSON who can sign in at a store"))
    chosen = parser.parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
    except SourceError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (StoreError, ProfileError, ClientsError, SettingError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return code


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--provider", action="append", default=[], metavar="NAME=STORE", type=_named_store)
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name with dots to answer to"
    )
    parser.add_argument(
        "--profile", action="append", default=[], metavar="[NAME=]PROFILE", help="a vendor's habits, of one or all"
    )
    parser.add_argument(
        "--access-seconds", type=float, help="how long an access token lives, whatever the profile says"
    )
    parser.add_argument("--refresh-seconds", type=float, help="how long a refresh token lives unused")
    parser.add_argument(
        "--clients", type=Path, metavar="FILE", help="JSON: the registered clients; any public one else"
    )
    parser.add_argument("--clock-file", type=Path, metavar="FILE", help="holds seconds by which the clock is ahead")
    parser.add_argument(
        "--rate", action="append", default=[], metavar="[NAME=]N", help="token requests a second; 429 to more"
    )
    parser.add_argument(
        "--network", type=Path, metavar="FILE", help="JSON: the organisations that a partner network reaches"
    )
    parser.add_argument(
        "--identity",
        nargs="?",
        const="",
        metavar="FILE",
        help="serve a verifier of identities, too; what it knows is kept in FILE",
    )
    parser.set_defaults(run=_serve)


def _load_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="print the inventory as JSON")
    parser.add_argument("--progress", choices=["json", "none"], default="none", help="lines on the error output")
    parser.set_defaults(run=_load)


def _generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=_at_least_one, required=True)
    parser.add_argument("--seed", type=int, default=1)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--store", type=Path, help="make this store hold them")
    target.add_argument("--out", type=Path, help="write NDJSON into this folder, a file a type")
    parser.add_argument("--plain", action="store_true", help="with --out: do not compress")
    parser.add_argument("--broken-share", type=_share, help="of each kind of broken resource; 0 for none")
    parser.add_argument("--report", action="store_true", help="print as JSON what was made, broken ones included")
    parser.add_argument("--progress", choices=["json", "none"], default="none", help="lines on the error output")
    parser.set_defaults(run=_generate)


def _people_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, required=True)
    parser.set_defaults(run=_people)


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1 is expected")
    return int(text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 0.1:
        raise argparse.ArgumentTypeError("a share from 0 to 0.1 is expected")
    return value


def _named_store(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not path or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise argparse.ArgumentTypeError("NAME=STORE is expected, NAME of letters, digits, - and _")
    return name, Path(path)


def _serve(chosen: argparse.Namespace) -> int:
    import uvicorn

    from sandbox.identity import Identities
    from sandbox.memory import Memory
    from sandbox.server import make_app

    if not chosen.provider and chosen.identity is None:
        raise SettingError("nothing to serve: --provider NAME=STORE, or --identity")
    providers = _providers(chosen)
    network = _network(chosen, providers)
    identities = None
    if chosen.identity is not None:
        identities = Identities(Memory(Path(chosen.identity) if chosen.identity else None))
    line = socket.socket(socket.AF_INET6 if ":" in chosen.host else socket.AF_INET)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        line.bind((chosen.host, chosen.port))
        line.listen(128)
    except OSError as error:
        sys.stderr.write(f"{chosen.host}:{chosen.port} cannot be listened on: {error.strerror}\n")
        return 1
    port = line.getsockname()[1]
    host = "127.0.0.1" if chosen.host == "0.0.0.0" else chosen.host  # noqa: S104
    origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    ready = {"event": "ready", "port": port, "providers": {name: f"{origin}/{name}/fhir" for name in providers}}

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            sys.stdout.write(orjson.dumps(ready).decode() + "\n")
            sys.stdout.flush()

    # uvicorn raises the signal again once it has shut down; then it is time to leave, without a complaint.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        make_app(
            providers,
            frozenset(name.lower() for name in chosen.allow_host),
            network,
            identities,
        ),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    with contextlib.closing(line):
        Server(config).run(sockets=[line])
    return 0


def _providers(chosen: argparse.Namespace) -> dict[str, Provider]:
    from sandbox.clients import read_clients
    from sandbox.clock import Clock
    from sandbox.limits import Rate
    from sandbox.profiles import profile_named
    from sandbox.provider import Provider

    names = [name for name, _ in chosen.provider]
    profiles, rates = _by_provider(chosen.profile, names), _by_provider(chosen.rate, names)
    clients = read_clients(chosen.clients.read_bytes()) if chosen.clients else []
    given = {"access_seconds": chosen.access_seconds, "refresh_seconds": chosen.refresh_seconds}
    own = {field: seconds for field, seconds in given.items() if seconds is not None}
    providers: dict[str, Provider] = {}
    for name, path in chosen.provider:
        profile = msgspec.structs.replace(profile_named(profiles.get(name, "standard")), **own)
        rate = Rate(_positive(rates[name])) if name in rates else None
        providers[name] = Provider(name, path, profile, clock=Clock(chosen.clock_file), rate=rate)
        providers[name].clients.register(clients)
    return providers


def _network(chosen: argparse.Namespace, providers: dict[str, Provider]) -> Network | None:
    from sandbox.memory import Memory
    from sandbox.network import Network, Organization

    if chosen.network is None:
        return None
    try:
        organizations = msgspec.json.decode(chosen.network.read_bytes(), type=list[Organization])
    except (msgspec.DecodeError, OSError) as error:
        raise SettingError(f"{chosen.network}: {error}") from None
    for one in organizations:
        if one.provider not in providers:
            raise SettingError(f"{chosen.network}: there is no provider {one.provider!r}")
    return Network(organizations, providers, Memory(chosen.network.with_suffix(".known")))


def _by_provider(options: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """`VALUE` for all providers, `NAME=VALUE` for one; the later option counts."""
    found: dict[str, str] = {}
    for option in options:
        name, equals, value = option.rpartition("=")
        if equals and name not in names:
            raise SettingError(f"{option}: there is no provider {name!r}")
        found |= dict.fromkeys([name] if equals else names, value)
    return found


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise SettingError(f"{text!r} is no rate: a number of requests a second is expected")
    return value


def _load(chosen: argparse.Namespace) -> int:
    store = Store(chosen.store, create=True)
    with contextlib.closing(store):
        inventory = load_folder(store, chosen.source, _progress(chosen.progress, "files"))
    _print_inventory(inventory, as_json=chosen.json)
    return 0


def _generate(chosen: argparse.Namespace) -> int:
    from sandbox.generator import BROKEN_SHARE, into_folder, into_store

    share = BROKEN_SHARE if chosen.broken_share is None else chosen.broken_share
    progress = _progress(chosen.progress, "people")
    if chosen.store:
        with contextlib.closing(Store(chosen.store, create=True)) as store:
            _, report = into_store(store, chosen.people, chosen.seed, broken_share=share, on_progress=progress)
    else:
        report = into_folder(
            chosen.out, chosen.people, chosen.seed, packed=not chosen.plain, broken_share=share, on_progress=progress
        )
    said = report.listed()
    if chosen.report:
        sys.stdout.write(orjson.dumps(said).decode() + "\n")
    else:
        sys.stdout.write(f"{said['people']} people, {said['resources']} resources\n")
    return 0


def _people(chosen: argparse.Namespace) -> int:
    with contextlib.closing(Store(chosen.store)) as store:
        people = [(identity, orjson.loads(body)) for identity, body in store.patients()]
    said = [
        {"patient": identity, "name": patient.get("name", []), "birthDate": patient.get("birthDate")}
        for identity, patient in people
    ]
    sys.stdout.write(orjson.dumps(said).decode() + "\n")
    return 0


def _progress(kind: str, what: str) -> Callable[[int, int, int], None]:
    last = time.monotonic()

    def said(done: int, of: int, resources: int) -> None:
        nonlocal last
        now = time.monotonic()
        if kind == "json" and (now - last >= 0.25 or done == of):
            last = now
            line = {"event": "progress", "what": what, "done": done, "of": of, "resources": resources}
            sys.stderr.write(orjson.dumps(line).decode() + "\n")
            sys.stderr.flush()

    return said


def _print_inventory(inventory: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(inventory).decode() + "\n")
        return
    columns = ("read", "repeated", "older_versions", "stored", "in_compartments", "others")
    rows: list[tuple[str, ...]] = [("", *columns)]
    rows += [(name, *(str(row[column]) for column in columns)) for name, row in inventory["types"].items()]
    rows.append(("all", *(str(inventory["totals"][column]) for column in columns)))
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns) + 1)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    for what, number in inventory["aside"].items():
        sys.stdout.write(f"left aside: {number} {what}\n")
    for fault in inventory["faults"]:
        sys.stdout.write(f"{fault['where']}: {fault['reason']}\n")


if __name__ == "__main__":
    sys.exit(main())
