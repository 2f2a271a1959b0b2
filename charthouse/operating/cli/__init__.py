"""The `charthouse` command: everything an operator does without the web page."""

from __future__ import annotations

import errno
import json
import os
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from charthouse.errors import CharthouseError, SetupError, catalogue, catalogue_markdown
from charthouse.log import configure_logging, log_file
from charthouse.operating.cli import erasing, own_servers
from charthouse.operating.cli.rooms import Rooms
from charthouse.operating.cli.tables import AsJson, AsOf, out, show
from charthouse.settings import get_settings

app = typer.Typer(
    cls=Rooms,
    name="charthouse",
    help="Gathers medical records from healthcare providers, checks them, and lays them out as tables.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

# EACCES and EPERM are PermissionError, of whatever number.
UNWRITABLE = frozenset({errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOSPC, errno.EDQUOT})


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"charthouse {version('charthouse')}")
        raise typer.Exit


@app.callback()
def _main(
    told: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Gathers medical records from healthcare providers, checks them, and lays them out as tables."""


@app.command()
def init() -> None:
    """Make this home ready: folders, keys, the state database, both lakes. Safe to repeat."""
    from charthouse.operating.home import held, prepare

    with held():
        typer.echo(f"ready: {prepare()}")


@app.command()
def nightly(
    source: Annotated[
        Path | None, typer.Option(readable=False, help="A folder of FHIR Bundles or NDJSON, or one such file.")
    ] = None,
    people: Annotated[
        int | None, typer.Option(min=1, help="How many people to make up where no SOURCE is given.", show_default="25")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of the made-up people.", show_default="1")] = None,
    provider: Annotated[str | None, typer.Option(metavar="URL", help="A FHIR R4 server of your own: its base.")] = None,
    patients: own_servers.PatientsOption = None,
    token_file: own_servers.TokenFile = None,
    key_file: own_servers.KeyFile = None,
    client_id: own_servers.ClientId = None,
) -> None:
    """One real night on the embedded default: sandbox, people, links, the DAG sync_records, a summary.

    Other numbers of people, or another seed, are to the sandbox as another folder would be: whom it no longer has, it
    no longer serves. What was read of them stays.

    With --provider there is no sandbox: patients of your server are linked, and read. Again, it asks for what is new.
    """
    from charthouse.operating.nightly import DEFAULT_PEOPLE, DEFAULT_SEED, run_night, run_own_night

    if provider is not None:
        if source or not (people is None and seed is None):
            raise typer.BadParameter("a provider brings its own patients: --source, --people, --seed are the sandbox's")
        raise typer.Exit(run_own_night(own_servers.given(provider, patients, token_file, key_file, client_id)))
    if patients or token_file or key_file or client_id:
        raise typer.BadParameter("--patients, --token-file, --key-file and --client-id go with --provider")
    if source and not (people is None and seed is None):
        raise typer.BadParameter("a source brings its own people: --people and --seed are for made-up ones")
    count, chosen = people or DEFAULT_PEOPLE, DEFAULT_SEED if seed is None else seed
    raise typer.Exit(run_night(source.expanduser() if source else None, count, chosen))


@app.command(context_settings={"ignore_unknown_options": True})
def airflow(
    command: Annotated[list[str] | None, typer.Argument(help="A command of Airflow's own, such as: dags list")] = None,
) -> None:
    """Airflow with its web page, the sandbox beside it, and a printed login, until Ctrl-C.

    With a command: runs that one command of Airflow's own against this home, for instance
    charthouse airflow dags trigger sync_records
    """
    if command:
        from charthouse.operating.airflow_process import command_line

        raise typer.Exit(command_line(command))
    from charthouse.operating.standalone import run_airflow

    run_airflow()


@app.command()
def status(as_json: AsJson = False) -> None:
    """Open alarms; the last run: resources by type, rows by table, seconds by stage, what went wrong."""
    from charthouse.operating import report

    if not as_json:
        report.render_alarms(out)
    said = report.latest()
    if as_json:
        typer.echo(json.dumps(report.as_data(said), default=str, indent=1))
    else:
        report.render(said, out)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="The query, or - to read it from standard input.")],
    style: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    chart: Annotated[bool, typer.Option("--chart", help="Draw an answer that has a date and a number.")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Ask the records in DuckDB, read-only; the ten tables answer to their bare names."""
    from charthouse.lake.query import ask
    from charthouse.privacy.reads import note_reads

    note = partial(note_reads, action="records.read")
    ask(query, "json" if as_json else style, note, chart=chart, as_of=as_of)


@app.command()
def shell(as_of: AsOf = None) -> None:
    """A DuckDB prompt with the records attached, read-only."""
    from charthouse.lake.query import prompt
    from charthouse.privacy.reads import note_reads

    raise typer.Exit(prompt(partial(note_reads, action="records.read"), as_of=as_of))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at everything a night needs; say how to mend what is not well."""
    from dataclasses import asdict

    from charthouse.operating.doctor import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            mark = "[green]ok  [/]" if finding.healthy else "[red]mend[/]"
            out.print(f"{mark}  {finding.what}: {finding.detail}", highlight=False)
            if finding.mend:
                out.print(f"      {finding.mend}", highlight=False)
    raise typer.Exit(0 if all(finding.healthy for finding in findings) else 1)


@app.command()
def refetch(yes: erasing.Yes = False) -> None:
    """Forget how far providers have been read: the next night asks for everything, and builds everyone again.

    For a vault that was lost, or restored from an older backup. No run may be at work. Nothing that is stored or
    published is deleted.
    """
    from charthouse.operating.home import held
    from charthouse.sync.footing import refetch as forget

    erasing.sure(yes, "It asks every provider for everything again.", "refetch")

    with held():
        typer.echo(f"the next night asks for everything again: {forget():,} links")


@app.command()
def rebuild(
    people: Annotated[
        list[str] | None, typer.Argument(metavar="[PERSON]…", help="Everybody, if none is named.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the tables anew from the vault, by the mapping of today. Nothing is fetched; no run may be at work."""
    from dataclasses import asdict

    from charthouse.operating import report
    from charthouse.operating.home import held, prepare
    from charthouse.sync.rebuild import rebuild as build_anew

    with held():
        prepare()
        done = build_anew(people or ())
    if as_json:
        typer.echo(json.dumps(asdict(done) | {"report": report.as_data(report.latest())}, default=str, indent=1))
        return
    report.render(report.latest(), out)
    who = "1 person was" if done.people == 1 else f"{done.people:,} people were"
    typer.echo(f"\n{who} built anew from the vault by mapping {done.mapping_version}; nothing was fetched.")
    typer.echo(f"{done.outdated:,} of them had rows of another mapping or declaration, or none.")


@app.command("settings")
def settings_list(as_json: AsJson = False) -> None:
    """Every setting: its variable, its present value, what it is."""
    present = get_settings()
    rows = [
        {
            "variable": f"CHARTHOUSE_{name.upper()}",
            # A database address may carry a password.
            "value": "(set)"
            if name.endswith(("_url", "_catalog")) and getattr(present, name)
            else getattr(present, name),
            "meaning": field.description or "",
        }
        for name, field in type(present).model_fields.items()
    ]
    show(rows, as_json=as_json, empty="")


@app.command("errors")
def errors_list(
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/errors.md.")] = False,
) -> None:
    """Every error and outcome by its number, and how to mend it."""
    if markdown:
        typer.echo(catalogue_markdown(), nl=False)
        return
    rows = [{"code": entry.code, "title": entry.title, "mend": entry.mend} for entry in catalogue().values()]
    show(rows, as_json=as_json, empty="")


def main() -> None:
    """Run the command line: an error of ours is one clear sentence and exit code 1, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no UTF-8 loses a character, not the answer
    os.umask(0o077)  # whatever we and our processes write is of people: for its owner alone
    try:
        configure_logging(file=log_file())
        app()
    except CharthouseError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno not in UNWRITABLE:
            raise
        typer.echo(str(SetupError("CH005", where=str(error.filename or ""), what=error.strerror or "")), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
