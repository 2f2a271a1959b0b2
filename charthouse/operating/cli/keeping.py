"""`charthouse backup` and `restore`: a whole home, its keys apart; `retention`: what is kept for how long."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson, out, show


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes; absent until it is whole.")],
    keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where its keys go, apart from it; left out without.")
    ] = None,
) -> None:
    """Back up the whole home, also while nights run: state, both lakes, exports, receipts; looked at when written."""
    from charthouse.privacy.backup import make

    made = make(folder, keys)
    rows = ", ".join(f"{lake} {sum(tables.values()):,} rows" for lake, tables in sorted(made.rows.items()))
    out.print(f"Backup {made.backup_id}: {made.files:,} files, {made.bytes:,} bytes; {rows}", highlight=False)
    out.print(f"Keys: {made.keys}", highlight=False, soft_wrap=True)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The backup.")],
    keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where its keys are, unless this home has them.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Put away what stands in this home.")] = False,
) -> None:
    """Put a backup into this home. Who was erased since is erased again before anything else is done."""
    from charthouse.errors import SetupError
    from charthouse.operating.cli.erasing import settings_with_mails
    from charthouse.operating.home import held
    from charthouse.privacy.restore import restore as put_back
    from charthouse.privacy.returning import erase_returned

    with held():
        try:
            done = put_back(folder, keys, replace=replace)
        except SetupError as error:
            if error.code != "CH006" or keys is not None:
                raise
            told = "no key of this home opens it: name the folder of the backup's own with --keys DIR"
            raise SetupError("CH006", where=error.where, what=told) from None
    rows = ", ".join(f"{lake} {sum(tables.values()):,} rows" for lake, tables in sorted(done.rows.items()))
    out.print(f"Restored {done.backup_id} of {done.made_at[:19]}: {done.files:,} files; {rows}", highlight=False)
    if done.tombstones:
        out.print(f"{done.tombstones:,} erasures are remembered.", highlight=False)
    with held():  # nobody may read, export or serve them first
        again = erase_returned(settings_with_mails())
    if again:
        out.print(f"{len(again):,} of them were in the backup, and are erased again.", highlight=False)


def retention(
    apply: Annotated[bool, typer.Option("--apply", help="Remove what is past its time, Airflow's own too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is kept for how long and why, and how much is past its time; --apply removes that, and says what went."""
    from charthouse.operating.airflow_trim import trim
    from charthouse.privacy import retention as keeping

    if apply:
        removed = keeping.apply()
        rows = [{"name": name, "removed": count} for name, count in removed.items()]
        show(rows, as_json=as_json, empty="Nothing is past its time.")
        if not trim() and not as_json:
            out.print("Airflow's own database is not trimmed from here.", highlight=False)
        return
    found = [
        {"name": kept.entry.name, "days": kept.entry.days, "due": kept.due, "where": kept.entry.where}
        | ({"what": kept.entry.what, "why": kept.entry.why, "fixed": kept.entry.fixed} if as_json else {})
        for kept in keeping.look()
    ]
    if not as_json:
        found = [{**row, "days": "for good" if row["days"] is None else row["days"]} for row in found]
    show(found, as_json=as_json, empty="")
