"""`charthouse phones`: the phones of a person, what may be read of each, and its end."""

from __future__ import annotations

from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Phones that upload what Health Connect holds.", no_args_is_help=True)

Person = Annotated[str, typer.Argument(metavar="PERSON", help="The person's key.")]


@app.command("list")
def phones_list(person: Person, as_json: AsJson = False) -> None:
    """The data sources of a person's phones: a line each, with the link that it became."""
    from charthouse.linking.people import get_person
    from charthouse.linking.phones import list_phones
    from charthouse.state import session

    with session(read_only=True) as state:
        get_person(state, person)
        rows = [
            {
                "device": phone.device_id,
                "permitted": len(phone.permissions),
                "app": source.package_name,
                "data_source": source.display_name,
                "link": source.link_id,
                "status": source.status,
                "seen_at": phone.seen_at,
            }
            for phone in list_phones(state, person)
            for source in phone.sources
        ]
    show(rows, as_json=as_json, empty="No phone is connected, or none has a data source.")


@app.command("disconnect")
def phones_disconnect(
    person: Person, device: Annotated[str, typer.Argument(metavar="DEVICE", help="As `phones list` shows it.")]
) -> None:
    """Disconnect a phone: its links end, what is on its way goes, and links by other ways stay."""
    from charthouse.linking.phones import disconnect

    ended = disconnect(person, device, actor="operator")
    typer.echo(f"disconnected; {ended} links ended")
