"""`charthouse providers bulk` and its like: providers whose records are had by Bulk Data export, and their jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from charthouse.errors import FetchError
from charthouse.operating.cli.inputs import read_input
from charthouse.operating.cli.tables import AsJson, show

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The provider's slug.")]


def providers_bulk(
    slug: Slug,
    group: Annotated[str | None, typer.Option(metavar="ID", help="Export this group of its patients.")] = None,
    patients: Annotated[bool, typer.Option("--patients", help="Export all of its patients.")] = False,
    system: Annotated[bool, typer.Option("--system", help="Export everything it has.")] = False,
    url: Annotated[str | None, typer.Option(help="The base that exports, where it is not its FHIR base.")] = None,
    client_id: Annotated[str | None, typer.Option("--client-id", help="The client id of our system client.")] = None,
    key_file: Annotated[
        str | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="Its private key (JWK, JWK set, PEM; - reads standard input); none: it signs with a key of ours.",
        ),
    ] = None,
    algorithm: Annotated[str | None, typer.Option(help="What it signs with: ES384 or RS384.")] = None,
    scopes: Annotated[str | None, typer.Option(help="Scopes to ask for in place of system/*.rs.")] = None,
    registration: Annotated[str | None, typer.Option(help="A registration that is there already.")] = None,
    file_origin: Annotated[
        str | None, typer.Option("--file-origin", metavar="URL", help="Another host whose files may be read by token.")
    ] = None,
    partial_manifests: Annotated[
        bool, typer.Option("--partial-manifests", help="Ask for manifests in pages (allowPartialManifests).")
    ] = False,
    from_links: Annotated[int, typer.Option("--from-links", min=1, help="Export from so many due links on.")] = 1,
    off: Annotated[bool, typer.Option("--off", help="Search it again, as other providers.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have a provider's records by Bulk Data export, in place of searches; without options, show how.

    Nights then export once for all of its links. Without --client-id or --registration its server has to be open.
    """
    from charthouse.linking.bulk_sources import PATIENTS, SYSTEM, clear_bulk_source, group_level, set_bulk_source
    from charthouse.state import session

    chosen = [
        level
        for level, named in (
            (group_level(group) if group is not None else "", group is not None),
            (PATIENTS, patients),
            (SYSTEM, system),
        )
        if named
    ]
    if len(chosen) > 1 or (off and chosen):
        raise typer.BadParameter("name one of --group, --patients, --system, --off")
    key = _key(key_file)
    with session() as state:
        if off:
            typer.echo(f"{slug} is searched again" if clear_bulk_source(state, slug) else f"{slug} was not exported")
            return
        if not chosen:
            _show(state, slug, as_json=as_json)
            return
        if client_id is not None:
            registration = _register(state, slug, client_id, key, scopes, algorithm)
        elif key is not None:
            raise FetchError("CH162", where=f"provider {slug}", what="a key needs a --client-id")
        set_bulk_source(
            state,
            slug,
            level=chosen[0],
            base_url=url,
            registration=registration,
            file_origin=file_origin,
            partial_manifests=partial_manifests,
            from_links=from_links,
        )
        if not as_json:
            typer.echo(f"{slug} is exported from its next night on")
            return
        _show(state, slug, as_json=True)


def providers_exports(
    slug: Annotated[str | None, typer.Argument(metavar="[SLUG]", help="Those of one provider.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The exports that were asked for, newest first: how they stand, what they brought, what was others'."""
    from charthouse.state import session
    from charthouse.sync.bulk_jobs import list_jobs

    with session(read_only=True) as state:
        rows = [asdict(job) for job in list_jobs(state, slug, limit)]
    if not as_json:
        columns = ("job_id", "provider", "level", "types", "status", "code", "percent", "begun_at", "lines", "left_out")
        rows = [{name: row[name] for name in columns} for row in rows]
    show(rows, as_json=as_json, empty="No exports yet.")


def providers_cancel(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `charthouse providers exports` shows it.")],
) -> None:
    """Give an export up: the provider's server is told, and the next night asks for a new one."""
    from charthouse.sync.bulk import cancel

    cancel(job_id)
    typer.echo(f"given up: {job_id}")


def _show(state: Session, slug: str, *, as_json: bool) -> None:
    from charthouse.linking.bulk_sources import bulk_source

    found = bulk_source(state, slug)
    row = [asdict(found) | {"level": found.level or "system"}] if found is not None else []
    show(row, as_json=as_json, empty=f"{slug} is searched. To export it: charthouse providers bulk {slug} --group ID")


def _register(
    state: Session, slug: str, client_id: str, key: str | None, scopes: str | None, algorithm: str | None
) -> str:
    from charthouse.linking.registrations import set_registration

    name = f"{slug[:57]}-system"
    set_registration(state, name, client_id, "private_key_jwt", key, scopes, algorithm=algorithm)
    return name


def _key(file: str | None) -> str | None:
    from charthouse.linking.keys import ensure_key

    ensure_key()
    return None if file is None else read_input(file, "CH163")
