"""`charthouse feed`: the coach's feed for back ends that keep an index of their own."""

from __future__ import annotations

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="The coach's feed for back ends with an index of their own.", no_args_is_help=True)


@app.command()
def gather() -> None:
    """Number what changed, let those be gone who agree no more, and call the webhook: what the DAG does, now."""
    from charthouse.coach.feed import gather as bring_up
    from charthouse.coach.feed_webhook import tell

    found = bring_up()
    told = "the back end knows" if tell() else "the back end was not reached, and is called again"
    typer.echo(f"{found.new:,} new, {found.changed:,} changed, {found.gone:,} gone; {told}")


@app.command()
def status(as_json: AsJson = False) -> None:
    """How far the feed has come, who is in it, and what became of the last message to the webhook."""
    from charthouse.coach.feed import standing

    show([standing()], as_json=as_json, empty="")
