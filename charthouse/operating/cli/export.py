"""`charthouse export` and `charthouse verify`: taking a person's data away, and checking what was taken."""

from __future__ import annotations

import json
import os
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charthouse.operating.cli.tables import AsJson  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from charthouse.privacy.export.check import Checked
    from charthouse.settings import Settings
    from charthouse.state.privacy import ExportPart

PRIVATE = 0o600
MOST_SMALL = 4 * 2**20


def export(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="The person's key.")],
    out: Annotated[Path, typer.Option(help="The folder that the ZIP goes to.")],
    category: Annotated[list[str] | None, typer.Option(help="Only this category; may be repeated.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what came or changed since this day (YYYY-MM-DD).")] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Only from this provider; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Everything that is held about a person, as a ZIP that a browser and a program can read. It is not encrypted.

    Cut off, it goes on when it is run again.
    """
    from charthouse.errors import PrivacyError, StateError
    from charthouse.linking.people import get_person
    from charthouse.privacy import requests
    from charthouse.privacy.export import job, store
    from charthouse.privacy.export.account import links_of
    from charthouse.privacy.export.scope import scope
    from charthouse.settings import get_settings
    from charthouse.state import session

    settings = get_settings()
    target = _target(out.expanduser())
    with session() as state:
        try:
            get_person(state, person)
        except StateError as error:
            raise PrivacyError("CH930", where="person", what="there is none with this key") from error
        known = sorted({link.provider for link in links_of(state, person)})
        chosen = scope(category or (), since, provider or (), known=known)
        request = requests.ask_export(state, person, chosen.options(), actor="operator")
    job.run(request.request_id)
    written = [_written(part, target, settings) for part in store.parts_of(request.request_id, settings)]
    if as_json:
        typer.echo(json.dumps({"request_id": request.request_id, "files": [str(file) for file in written]}))
        return
    for file in written:
        typer.echo(f"{file}  ({file.stat().st_size:,} bytes)")
    typer.echo("It is not encrypted: keep it in a safe place. Check it with: charthouse verify FILE…")


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="All ZIPs of an export, its folder, a receipt.")],
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The service's public keys (a JWK set), from the service itself."),
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="The code that was given with the request: is it my receipt?")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an export or a receipt with the public key alone. Exit code 1 names what was changed, removed or added.

    The public keys come from the service: charthouse keys public > keys.json, or GET /receipts.jwks.json. Without
    --keys an export is checked with the key inside it, which shows that it is whole, and not from whom; a receipt with
    those of this home.
    """
    from charthouse.errors import CATALOGUE, PrivacyError
    from charthouse.privacy.export.check import check, key_set

    jwks = None
    if keys is not None:
        try:
            jwks = key_set(keys.expanduser().read_bytes(), str(keys))
        except OSError as error:
            raise PrivacyError("CH939", where=str(keys), what=error.strerror or "") from None
    given = [file.expanduser() for file in files]
    for file in given:
        if not file.exists():
            raise PrivacyError("CH933", where=str(file), what="there is no such file")
    if len(given) == 1 and _is_receipt(given[0]):
        _verify_receipt(given[0], jwks, code)
        return
    checked = check(given, jwks)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "holds": checked.holds,
                    "findings": [{"code": each.code, "file": each.path} for each in checked.findings],
                    "files": checked.files,
                    "made_at": checked.made_at,
                    "key": checked.kid,
                    "key_from": "the export" if checked.own_keys else str(keys),
                }
            )
        )
    else:
        for each in checked.findings:
            typer.echo(f"{each.code} {CATALOGUE[each.code].title}: {each.path!r}", err=True)
        _tell(checked)
    raise typer.Exit(0 if checked.holds else 1)


def _tell(checked: Checked) -> None:
    if not checked.holds:
        typer.echo(f"{len(checked.findings):,} of {checked.files:,} files are not as they were signed", err=True)
        return
    typer.echo(f"whole: {checked.files:,} files, {checked.size:,} bytes, made at {checked.made_at}")
    typer.echo(f"signed with the key {checked.kid}")
    if checked.own_keys:
        typer.echo("That key came with the export: it is whole, but whoever changed it could have signed it anew.")
        typer.echo("To know from whom it is, get the service's own keys (charthouse keys public > keys.json, or")
        typer.echo("GET /receipts.jwks.json) and say: --keys keys.json")


def _is_receipt(file: Path) -> bool:
    """Whether it is a receipt: JSON, or a signed document by itself."""
    if not file.is_file() or file.stat().st_size > MOST_SMALL:
        return False
    head = file.read_bytes()[:3]
    return head[:1] == b"{" or head == b"eyJ"


def _verify_receipt(file: Path, jwks: dict[str, Any] | None, code: str | None) -> None:
    """A receipt holds no key: it is checked with the keys given, or with those of this home."""
    from charthouse.privacy import receipts
    from charthouse.privacy.signing import public_keys

    said = receipts.check(file.read_text(encoding="utf-8", errors="replace"), jwks or public_keys(), code)
    typer.echo(json.dumps(said, indent=1))
    typer.echo("The receipt holds" + ("." if code is None else ", and it is the one of this code."), err=True)


def _target(out: Path) -> Path:
    from charthouse.errors import PrivacyError
    from charthouse.settings import get_settings

    home = get_settings().home.resolve()
    if home in (out.resolve(), *out.resolve().parents):
        raise PrivacyError("CH931", where=str(out), what="in the home, nothing in the clear outlives an erasure")
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PrivacyError("CH931", where=str(out), what=error.strerror or "") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise PrivacyError("CH931", where=str(out), what="it cannot be written")
    return out


def _written(part: ExportPart, target: Path, settings: Settings) -> Path:
    """A part in the clear, whole or not there, for its owner alone."""
    from charthouse import files
    from charthouse.errors import PrivacyError
    from charthouse.privacy.export import store

    file = target / f"charthouse-{part.request_id[:8]}-{part.number}.zip"
    scratch = files.scratch_of(file)
    try:
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as plain:
            for piece in store.read_part(part, settings):
                plain.write(piece)
        files.put(scratch, file)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise PrivacyError("CH931", where=str(target), what=error.strerror or "") from None
    return file
