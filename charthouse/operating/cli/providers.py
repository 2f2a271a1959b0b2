"""`charthouse providers`: who holds the records, how they know us, and lists of brands."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from charthouse.operating.cli import exports
from charthouse.operating.cli.inputs import read_input
from charthouse.operating.cli.tables import AsJson, out, show
from charthouse.partners.client import ClientAuth

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.linking.brands import BrandsReport

app = typer.Typer(help="Who holds the records.", no_args_is_help=True)
app.command("bulk")(exports.providers_bulk)
app.command("exports")(exports.providers_exports)
app.command("cancel-export")(exports.providers_cancel)

Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The provider's slug.")]
Region = Annotated[str | None, typer.Option(help="Its country (ISO 3166-1 alpha-2).")]
Partner = Annotated[str | None, typer.Option(help="The partner that connects us; none: we speak to it ourselves.")]
Registration = Annotated[str | None, typer.Option(help="A registration that several providers share.")]
Portal = Annotated[str | None, typer.Option("--portal-url", help="Where people sign in to its portal.")]
ClientId = Annotated[str | None, typer.Option("--client-id", help="The client id that it gave us.")]
Auth = Annotated[str | None, typer.Option("--auth", help="How we authenticate: " + ", ".join(get_args(ClientAuth)))]
SecretFile = Annotated[
    str | None, typer.Option("--secret-file", metavar="FILE", help="The client secret's file; - reads standard input.")
]
Scopes = Annotated[str | None, typer.Option(help="Scopes to ask for in place of our own choice; they only read.")]
Algorithm = Annotated[str | None, typer.Option(help="With private_key_jwt: ES384 or RS384.")]


@app.command("add")
def providers_add(
    slug: Slug,
    url: Annotated[str, typer.Argument(metavar="URL", help="Its FHIR R4 base.")],
    name: Annotated[str | None, typer.Option(help="The name that people know; the slug where it is left out.")] = None,
    region: Region = "US",
    partner: Partner = None,
    registration: Registration = None,
    client_id: ClientId = None,
    auth: Auth = None,
    secret_file: SecretFile = None,
    scopes: Scopes = None,
    algorithm: Algorithm = None,
    portal_url: Portal = None,
    closed: Annotated[bool, typer.Option("--closed", help="Nobody can link it yet.")] = False,
) -> None:
    """A new provider. With --client-id it gets a registration of its own, under its slug."""
    from charthouse.linking.providers import add_provider
    from charthouse.state import session

    secret = _secret(secret_file)
    with session() as state:
        if client_id is not None:
            registration = _register(state, slug, client_id, auth, secret, scopes, algorithm)
        add_provider(
            state,
            slug=slug,
            name=name or slug,
            fhir_base_url=url,
            region=region or "US",
            partner=partner,
            registration=registration,
            portal_url=portal_url,
            active=not closed,
        )
    typer.echo(f"added {slug}. Look at it with: charthouse providers check {slug}")


@app.command("edit")
def providers_edit(
    slug: Slug,
    url: Annotated[str | None, typer.Option(help="Its FHIR R4 base.")] = None,
    name: Annotated[str | None, typer.Option(help="The name that people know.")] = None,
    region: Region = None,
    partner: Partner = None,
    registration: Registration = None,
    client_id: ClientId = None,
    auth: Auth = None,
    secret_file: SecretFile = None,
    scopes: Scopes = None,
    algorithm: Algorithm = None,
    portal_url: Portal = None,
    page_origins: Annotated[
        str | None, typer.Option(help="Origins, by commas, at which its pages may go on: tokens are sent there.")
    ] = None,
    active: Annotated[bool | None, typer.Option("--open/--closed", help="Whether people can link it.")] = None,
    with_links: Annotated[
        bool, typer.Option("--with-links", help="The tokens of its links may be sent to the new URL.")
    ] = False,
) -> None:
    """Change what is given; an empty text takes a partner, a registration or a portal away."""
    from charthouse.linking.providers import edit_provider, get_provider
    from charthouse.state import session

    secret = _secret(secret_file)
    with session() as state:
        get_provider(state, slug)
        if client_id is not None:
            registration = _register(state, slug, client_id, auth, secret, scopes, algorithm)
        edit_provider(
            state,
            slug,
            name=name,
            fhir_base_url=url,
            region=region,
            partner=partner,
            registration=registration,
            portal_url=portal_url,
            page_origins=page_origins,
            active=active,
            with_links=with_links,
        )
    typer.echo(f"changed {slug}")


@app.command("retire")
def providers_retire(slug: Slug) -> None:
    """Take a provider out of service: its links are disconnected, and what was read stays."""
    from charthouse.linking.providers import retire_provider
    from charthouse.state import session

    with session() as state:
        done = retire_provider(state, slug)
    typer.echo(f"retired {slug}: {done.disconnected:,} links disconnected")


@app.command("list")
def providers_list(as_json: AsJson = False) -> None:
    """Every provider, with its endpoint."""
    from charthouse.linking.providers import list_providers
    from charthouse.state import session

    with session() as state:
        rows = [asdict(view) for view in list_providers(state)]
    if not as_json:
        for row in rows:
            retired, portal = row.pop("retired_at"), row.pop("portal_url")
            row["active"] = "retired" if retired else "open" if row["active"] else "closed"
            row["portal"] = bool(portal)
    show(rows, as_json=as_json, empty="No providers yet.")


@app.command("search")
def providers_search(
    text: Annotated[str, typer.Argument(help="A name, and a place: mercy st louis")] = "",
    place: Annotated[str | None, typer.Option(help="A city, state or zip code.")] = None,
    region: Region = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 20,
    after: Annotated[str | None, typer.Option(help="The cursor of an earlier answer's last row.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find providers as people do: by name and place."""
    from charthouse.linking.directory import search
    from charthouse.state import session

    with session(read_only=True) as state:
        found = [asdict(one) for one in search(state, text, place=place, region=region, limit=limit, after=after)]
    if as_json:
        show(found, as_json=True, empty="")
        return
    columns = ("brand", "portal", "places", "website", "provider", "linkable")
    rows = [{name: one[name] for name in columns} | {"places": "; ".join(one["places"])} for one in found]
    show(rows, as_json=False, empty="Nothing fits. Lists of brands come in with: charthouse providers import")


@app.command("check")
def providers_check(
    provider: Annotated[str, typer.Argument(metavar="SLUG|URL", help="A provider, or a FHIR base.")],
    as_json: AsJson = False,
) -> None:
    """Look at a provider: what it says of itself, what would be asked, what is missing. Exit code 1 if something is."""
    from charthouse.linking.provider_check import check_provider
    from charthouse.operating.sandbox_process import refuse_while_down

    findings = check_provider(provider)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        colours = {"ok": "green", "remark": "yellow", "missing": "red"}
        for finding in findings:
            mark = f"[{colours[finding.state]}]{finding.state:<7}[/]"
            out.print(f"{mark}  {finding.what}: ", end="", highlight=False)
            out.print(finding.detail, highlight=False, markup=False)
            if finding.mend:
                out.print(f"         {finding.mend}", highlight=False, markup=False)
    if any(finding.state == "missing" and finding.detail.startswith("CH101") for finding in findings):
        refuse_while_down(provider)
    raise typer.Exit(1 if any(finding.state == "missing" for finding in findings) else 0)


@app.command("import")
def providers_import(
    source: Annotated[str | None, typer.Argument(metavar="FILE|URL", help="A User-access Brands Bundle.")] = None,
    own: Annotated[
        str | None, typer.Option(metavar="SLUG", help="The list that this provider's own configuration links to.")
    ] = None,
    region: Annotated[str, typer.Option(help="The country of brands that name none.")] = "US",
    registration: Registration = None,
    closed: Annotated[bool, typer.Option("--closed", help="New providers are listed as not supported yet.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Read it although it has not changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in a list of brands, their portals and endpoints. Providers that are known stay as they are."""
    from charthouse.linking.brands import import_bundle, import_own_bundle

    if (source is None) == (own is None):
        raise typer.BadParameter("name a FILE or URL, or --own SLUG")
    if source is None:
        report = import_own_bundle(own or "", again=again)
    else:
        report = import_bundle(source, region=region, registration=registration, active=not closed, again=again)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
    else:
        _tell(report)


@app.command("register")
def providers_register(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The registration's slug, such as a vendor's name.")],
    client_id: Annotated[str, typer.Option("--client-id", help="The client id that the vendor gave us.")],
    auth: Auth = None,
    secret_file: SecretFile = None,
    scopes: Scopes = None,
    algorithm: Algorithm = None,
) -> None:
    """A client registration that several providers may share; again: bring it up to date."""
    from charthouse.state import session

    secret = _secret(secret_file)
    with session() as state:
        _register(state, slug, client_id, auth, secret, scopes, algorithm)
    typer.echo(f"registered {slug}. Give it to a provider: charthouse providers edit SLUG --registration {slug}")


@app.command("registrations")
def providers_registrations(as_json: AsJson = False) -> None:
    """Every client registration, without its secret."""
    from charthouse.linking.registrations import list_registrations
    from charthouse.state import session

    with session() as state:
        rows = [asdict(view) for view in list_registrations(state)]
    show(rows, as_json=as_json, empty="None: providers know us by the client id of the settings.")


def _register(
    state: Session,
    slug: str,
    client_id: str,
    auth: str | None,
    secret: str | None,
    scopes: str | None,
    algorithm: str | None,
) -> str:
    from charthouse.linking.registrations import set_registration

    way = auth or ("client_secret_basic" if secret is not None else "none")
    set_registration(state, slug, client_id, way, secret, scopes, algorithm=algorithm)
    return slug


def _secret(file: str | None) -> str | None:
    from charthouse.linking.keys import ensure_key

    if file is None:
        return None
    ensure_key()
    return read_input(file, "CH619").strip()


def _tell(report: BrandsReport) -> None:
    if report.unchanged:
        typer.echo("nothing has changed since it was read last")
        return
    typer.echo(
        f"{report.brands:,} brands, {report.portals:,} portals, {report.providers_new:,} new providers, "
        f"{report.providers_known:,} known ones"
    )
    if report.other_versions:
        typer.echo(f"{report.other_versions:,} endpoints of other FHIR versions than R4 left out")
    if report.vanished:
        typer.echo(f"no longer in the list, and kept: {', '.join(report.vanished)}")
    for kind, count in sorted(report.remarks.items()):
        typer.echo(f"remark: {kind.replace('_', ' ')}: {count:,} (such as {', '.join(report.samples[kind][:2])})")
