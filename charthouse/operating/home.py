"""The home: the one folder of all run-time files, made ready and held by one night at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from charthouse.errors import PrivacyError, SetupError
from charthouse.lake import records, vault
from charthouse.lake.session import open_records, open_vault, sweep_spilled
from charthouse.linking.keys import ensure_key
from charthouse.privacy import restore
from charthouse.privacy.returning import erase_returned
from charthouse.settings import get_settings
from charthouse.state import migrate
from charthouse.sync import footing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = ("keys", "landing", "staging", "logs", "airflow", "sandbox", "vault", "records")


def prepare() -> Path:
    """Make the home ready to run: folders only this user can read, the key, the state database, both lakes.

    Safe to repeat. Returns the home.

    Raises:
        SetupError: CH005 when a folder cannot be written, CH006 when the key is lost.
        PrivacyError: CH91x when a restored backup holds somebody who was erased, and cannot be erased again.
        PrivacyError: CH954 when a restore of it was cut off.
    """
    home = get_settings().home
    if restore.unfinished(home):
        raise PrivacyError("CH954", where=str(home), what="a restore was cut off: run it again")
    with _writing(home):
        for name in FOLDERS:
            (home / name).mkdir(exist_ok=True, mode=0o700)
        probe = home / ".writable"
        probe.touch()
        probe.unlink()
    sweep_spilled()
    restore.sweep(home)
    ensure_key()
    migrate()
    with open_vault() as connection:
        vault.create(connection)
        footing.adopt(connection)
    with open_records() as connection:
        records.create(connection)
    erase_returned()  # a restored backup may have brought somebody back who was erased
    return home


@contextmanager
def held() -> Iterator[None]:
    """Hold the home for one night or one Airflow: two at once would write to the same embedded lakes.

    Hold it before it is prepared, for that writes too.

    Raises:
        SetupError: CH005 when it cannot be written, CH007 when another process holds it.
    """
    home = get_settings().home
    lock = FileLock(home / "home.lock")
    try:
        with _writing(home):
            lock.acquire(timeout=0)
    except Timeout:
        raise SetupError("CH007", where=str(home)) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except Timeout:  # an OSError, too
        raise
    except OSError as error:
        raise SetupError("CH005", where=str(error.filename or home), what=error.strerror or "") from None
