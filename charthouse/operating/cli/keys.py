"""`charthouse keys`: the keys that seal tokens, secrets and what accounts tell of people."""

from __future__ import annotations

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="The keys that seal what is secret.", no_args_is_help=True)


@app.command()
def status(as_json: AsJson = False) -> None:
    """How much is sealed under the newest key, under older ones, and such that no key opens it."""
    from dataclasses import asdict

    from charthouse.linking.keys import status as look

    show([asdict(column) for column in look()], as_json=as_json, empty="")


@app.command()
def rotate() -> None:
    """Seal everything anew: under a new key in the key file, or under the newest of those kept elsewhere.

    Cut off, it goes on when it is run again; older keys open what they sealed until then.
    """
    from charthouse.linking.keys import rotate as change

    typer.echo(f"sealed anew: {change():,} values. The older keys can go once backups do not need them: keys retire")


@app.command()
def retire() -> None:
    """Take the older keys out of the key file, if nothing is sealed under them."""
    from charthouse.linking.keys import retire as take_out

    typer.echo(f"taken out: {take_out():,} keys")


@app.command()
def new() -> None:
    """Print a new key, to be put in front of those of CHARTHOUSE_KEYS or of an Airflow connection."""
    from cryptography.fernet import Fernet

    typer.echo(Fernet.generate_key().decode())


@app.command()
def public() -> None:
    """Print the public keys that check our receipts, exports and backups, as a JWK set."""
    import json

    from charthouse.privacy.signing import public_keys

    typer.echo(json.dumps(public_keys(), indent=1))
