"""`charthouse nightly`: one real night on the embedded default, from an empty folder to a summary.

The sandbox provider runs as a process of its own and people sign in there, or a FHIR server of the operator's own is
there already; the DAG `sync_records` runs through Airflow. This module starts them, shows the progress that the tasks
tell, and prints what came of it.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from charthouse import progress
from charthouse.clock import now
from charthouse.errors import SetupError
from charthouse.linking import links
from charthouse.operating import (
    accounting,
    airflow_process,
    home,
    mailroom,
    own_api,
    report,
    routes,
    sandbox_network,
    sandbox_phones,
    sandbox_process,
)
from charthouse.operating.own_server import link_own_server, look_at
from charthouse.operating.terminal import console, page, step, stop_as_by_ctrl_c
from charthouse.operating.watching import watch
from charthouse.settings import PROJECT_ROOT
from charthouse.state import session
from charthouse.sync import auditor, footing, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from rich.console import Console

    from charthouse.operating.own_server import OwnServer
    from charthouse.operating.sandbox_process import Sandbox
    from charthouse.sync.auditor import Auditor

DEFAULT_PEOPLE, DEFAULT_SEED = 25, 1
MOST_PLACES = 5
APART = "a resource has the id of another person's: it was given an id of its own"
OVERLAID = "a Patient has the id of another with another birth date: the newer is served, with the records of both"


def run_night(source: Path | None, people: int, seed: int) -> int:
    """Run one night for the provider of `source` (or of made-up people). Returns the exit code of the command.

    Raises:
        CharthouseError: CH0xx for what keeps the night from starting, CH504 when the vault lacks what has been read,
            CH011 when the run failed.
    """
    with _night() as night:
        out = night.out
        provider = sandbox_process.provider_of(source) if source else sandbox_process.GENERATED
        reads = f"reading {escape(sandbox_process.printable(source))}" if source else f"{people} people"
        searched_for = 0 if source else sandbox_network.share_of(people)
        with_phones = 0 if source else sandbox_phones.share_of(people)
        with step(out, f"Sandbox provider: {reads}"):
            if source:
                sandbox_process.load(source, provider)
            else:
                sandbox_process.generate(people - searched_for - with_phones, seed, provider)
            if searched_for:
                sandbox_process.generate_into(sandbox_network.store(), searched_for, seed + people, broken=False)
        with sandbox_process.serving([provider], network=bool(searched_for)) as sandbox:
            out.print(f"Sandbox provider at {sandbox.bases[provider]}", highlight=False)
            with step(out, "People: signing in at the provider"):
                linked = sandbox_process.link_everyone(sandbox, provider)
            _say_of_links(out, linked.new, len(linked.left_out))
            left_out: tuple[str, ...] = ()
            with own_api.serving() if searched_for or with_phones else nullcontext("") as api:
                if searched_for:
                    left_out = _search(out, sandbox, api)
                if with_phones:
                    _upload(out, api, with_phones, seed)
            inventory = sandbox.ask(provider, "inventory")
            if not linked.left_out and not sandbox_process.anybody_linked(provider):
                _say_of_the_source(out, inventory)
                raise SetupError("CH012", where=provider)
            others = ((sandbox_network.provider(), searched_for), (sandbox_phones.PROVIDER, with_phones))
            night.run(provider, *(slug for slug, number in others if number))
            accounts = accounting.account(sandbox, provider, linked.left_out)
            if searched_for:
                clinic = sandbox_network.CLINIC, left_out, sandbox_network.provider()
                accounts = accounting.merged(accounts, accounting.account(sandbox, *clinic))
            page().print(accounting.render(accounts))
            page().print(routes.render(routes.by_route()))
            night.tell_people()
            _say_of_the_source(out, inventory)
    return night.close()


def run_own_night(own: OwnServer) -> int:
    """Run one night for a FHIR server of the operator's own. Returns the exit code of the command.

    Raises:
        CharthouseError: CH13x and CH101 for a server that cannot serve; otherwise as `run_night`.
    """
    out = console()
    looked = look_at(own, out)  # whoever named a wrong address need not wait for lakes and Airflow to be made
    providers: list[str] = []
    with _night(lambda: providers.append(link_own_server(looked, out).provider)) as night:
        night.run(providers[0])
        night.tell_people()
    return night.close()


class _Night:
    """One night on the embedded default: its log, what gets ready beside the rest, the DAG's run and its report."""

    def __init__(self, out: Console, folder: Path, log: Path, warm: Auditor, ready: Future[None]) -> None:
        self.out = out
        self._folder = folder
        self._log = log
        self._warm = warm
        self._ready = ready
        self._began = now()
        self._code = 0
        self._status = ""

    def run(self, *providers: str) -> None:
        """Run the DAG for some providers and print the report of what it did."""
        with step(self.out, "Airflow: getting ready"):
            self._ready.result()
        before, self._began = _last_run(), now()
        self._code = _run_dag(providers, self._log, self.out, self._warm)
        if self._code and _last_run() == before:  # the report at hand is of an earlier night
            raise SetupError("CH011", where=str(self._log), what="it ended before the night began")
        said = report.latest()
        self._status = said.status
        report.render(said, page())

    def tell_people(self) -> None:
        """Say what became of links, and tell people."""
        _tell_people(self.out, self._began)

    def close(self) -> int:
        """Say where everything is. Returns the exit code.

        Raises:
            SetupError: CH011 when the run failed.
        """
        _say_where(self.out, self._folder, self._log)
        if self._code or self._status in ("failed", "held", "running"):
            raise SetupError("CH011", where=str(self._log), what=f"the run is {self._status}")
        return 0


@contextmanager
def _night(first: Callable[[], object] = lambda: None) -> Iterator[_Night]:
    """A night in a home that is ready. `first` is done before Airflow gets ready: it may end the night."""
    out = console()
    stop_as_by_ctrl_c()
    with home.held(), ThreadPoolExecutor(1) as aside, ExitStack() as stack:
        folder = home.prepare()
        footing.check()
        first()
        log = folder / "logs" / f"nightly-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log"
        # It loads while the source is read, long before there is anything to audit.
        warm = stack.enter_context(auditor.started(stack.enter_context(log.open("ab"))))
        # Airflow's first migration takes longer than everything else before the fetch.
        yield _Night(out, folder, log, warm, aside.submit(airflow_process.make_ready, log))


def _search(out: Console, sandbox: Sandbox, api: str) -> tuple[str, ...]:
    """Let the partner network search for its people. Returns the patients who were left out."""
    with step(out, "People: verified, and searched for by the partner network"):
        searched = sandbox_network.search(sandbox, api, sandbox_process.people_in(sandbox_network.store()))
    out.print(f"Found by the partner: {searched.found:,} for {searched.people:,} people", highlight=False)
    return searched.left_out


def _upload(out: Console, api: str, number: int, seed: int) -> None:
    """Let the phones of some people upload what Health Connect holds."""
    with step(out, "People: uploading from Health Connect"):
        uploaded = sandbox_phones.upload_all(api, number, seed)
    out.print(f"By phone: {uploaded.records:,} records of {uploaded.people:,} people", highlight=False)


def _say_of_links(out: Console, new: int, left_out: int) -> None:
    left = f"; {left_out:,} left out, who were erased here" if left_out else ""
    out.print(f"Links: {new:,} new{left}", highlight=False)


def _last_run() -> tuple[str, int] | None:
    with session(read_only=True) as state:
        run = runs.latest_run(state)
        return None if run is None else (run.id, run.resumed)


def _run_dag(providers: Sequence[str], log: Path, out: Console, warm: Auditor) -> int:
    progress.progress_file().unlink(missing_ok=True)
    with log.open("ab") as noise:
        process = airflow_process.dag_test("sync_records", {"providers": list(providers)}, noise, warm)
        try:
            watch(lambda: process.poll() is not None, out)
        except KeyboardInterrupt:
            out.print("Stopped. The next night goes on where this one was.", highlight=False)
            raise
        finally:
            airflow_process.kill_group(process)  # every step may be killed and is resumed (docs/architecture.md)
    return process.returncode


def _say_of_the_source(out: Console, inventory: dict[str, Any]) -> None:
    """What of the source was left aside, taken apart, or not read."""

    def say(text: str, style: str = "") -> None:
        out.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    changes = inventory["changes"]
    if changes["unchanged"] or changes["removed"]:
        told = ", ".join(f"{changes[kind]:,} {kind}" for kind in ("added", "changed", "removed", "unchanged"))
        say(f"\nThe source since it was read last: {told}.")
    if changes["removed"]:
        say("What the source no longer has stays in the vault and in the tables: a provider's silence deletes nothing.")
    if inventory["aside"]:
        say("\nLeft aside: " + ", ".join(f"{number:,} {what}" for what, number in inventory["aside"].items()))
    for number, meaning in ((inventory["apart"], APART), (inventory["overlaid"], OVERLAID)):
        if number:
            say(f"\n{number:,} × {meaning}", "yellow")
    if inventory["unreadable"]:
        say(f"\n{inventory['unreadable']:,} places of the source could not be read:", "yellow")
        for reason, number in inventory["reasons"].items():
            places = [fault["where"] for fault in inventory["faults"] if fault["reason"] == reason]
            more = ", …" if number > MOST_PLACES else ""
            say(f"  {number:,} × {reason}: {', '.join(places[:MOST_PLACES])}{more}")


def _tell_people(out: Console, began: datetime) -> None:
    """What became of links in this night, and who was told of it."""
    with session(read_only=True) as state:
        moves = links.moves_since(state, began)
    told = mailroom.tell()
    sent, kept = told.count("sent"), mailroom.folder()
    became = ", ".join(f"{number:,} {status}" for status, number in moves.items()) or "none moved"
    out.print(f"\nLinks tonight: {became}", highlight=False)
    place = f", as mails in {kept}" if kept is not None else ""
    left = f"; {told.count('again'):,} are tried again" if told.count("again") else ""
    out.print(f"Told: {sent:,} {'person' if sent == 1 else 'people'}{place}{left}", highlight=False, soft_wrap=True)


def _say_where(out: Console, folder: Path, log: Path) -> None:
    home_given = "" if folder == PROJECT_ROOT / "var" else f"CHARTHOUSE_HOME={folder} "
    query = "select display, count(*) as n from lab_results group by all order by n desc limit 5"
    out.print(f"\nLake: {folder / 'records'}\nLog:  {log}", highlight=False, soft_wrap=True)
    out.print("Query it:", style="bold")
    out.print(f'  {home_given}{_command()} sql "{query}"\n', highlight=False, soft_wrap=True, markup=False)


def _command() -> str:
    """How `charthouse` is called in this terminal: by its name where the environment is active."""
    own = Path(sys.executable).with_name("charthouse")
    if shutil.which("charthouse") == str(own):
        return "charthouse"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
