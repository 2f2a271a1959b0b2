"""The doctor: looks at everything a night needs, and says how to mend what it finds."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import requests
from sqlalchemy import text

from charthouse.errors import CharthouseError, LakeError, catalogue
from charthouse.lake.session import EXTENSIONS, connect, open_records, open_vault
from charthouse.linking.alarms import open_alarms
from charthouse.linking.eligibility import HEALTH_CONNECT
from charthouse.linking.finding import OURS
from charthouse.linking.keys import check_key, key_is_needed
from charthouse.linking.network_accounts import list_accounts
from charthouse.linking.providers import ProviderView, list_providers
from charthouse.linking.searching import list_searches
from charthouse.operating.sandbox_process import known_providers
from charthouse.privacy import databases, deadlines
from charthouse.settings import PROJECT_ROOT, get_settings
from charthouse.state import current_version, head_version, session
from charthouse.state.key_sources import KeyFile, source_of
from charthouse.sync import footing
from transforms.failures import FAILURES
from transforms.tables import built_tables, standing_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GIBIBYTE = 2**30
PINNED = ("apache-airflow", "duckdb", "duckdb-extension-ducklake", "great-expectations", "pandas", "pyarrow")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `mend` is empty when all is well."""

    what: str
    healthy: bool
    detail: str
    mend: str = ""


def examine() -> list[Finding]:
    """Look at versions, extensions, folders, keys, databases, lakes and providers, each on its own."""
    return [finding for look in _LOOKS for finding in look()]


def _python() -> Iterator[Finding]:
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding("python", fits, sys.version.split()[0], "" if fits else "Use Python 3.11, 3.12 or 3.13.")


def _versions() -> Iterator[Finding]:
    locked = {}
    for line in (PROJECT_ROOT / "requirements.txt").read_text().splitlines():
        name, separator, rest = line.partition("==")
        if separator and not line.startswith(" "):
            locked[name] = rest.split()[0]
    for package in PINNED:
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = "missing"
        same = installed == locked.get(package)
        yield Finding(package, same, installed, "" if same else f"Run: make install (the lock says {locked[package]})")


def _extensions() -> Iterator[Finding]:
    try:
        with connect() as connection:
            loaded = {
                row[0]
                for row in connection.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()
            }
    except OSError as error:
        yield Finding("DuckDB extensions", False, error.strerror or "", "Mend the home first.")
        return
    except FAILURES as error:
        yield Finding(
            "DuckDB extensions", False, f"they cannot be loaded ({type(error).__name__})", "Run: make install"
        )
        return
    missing = [name for name in EXTENSIONS if name not in loaded]
    yield Finding(
        "DuckDB extensions", not missing, ", ".join(missing or EXTENSIONS), "Run: make install" if missing else ""
    )


def _folders() -> Iterator[Finding]:
    home = get_settings().home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / ".writable").touch()
        (home / ".writable").unlink()
        free = shutil.disk_usage(home).free
    except OSError as error:
        yield Finding(
            "home", False, f"{home}: {error.strerror}", "Give this user the right to write, or set CHARTHOUSE_HOME."
        )
        return
    enough = free > GIBIBYTE
    yield Finding("home", enough, f"{home}, {free / GIBIBYTE:.1f} GiB free", "" if enough else "Free some disk space.")


def _key() -> Iterator[Finding]:
    source = source_of()

    def look() -> str:
        check_key()
        return source.where

    finding = _guard("credentials key", look)
    if isinstance(source, KeyFile) and not source.file.exists() and not key_is_needed():
        finding = replace(finding, mend="Run: charthouse init (nothing is sealed yet)")
    yield finding


def _state() -> Iterator[Finding]:
    def look() -> str:
        with session() as state:
            state.execute(text("SELECT 1"))
        now, head = current_version(), head_version()
        return f"at {now}" if now == head else f"at {now}, this code wants {head}: run charthouse init"

    yield _guard("state database", look)


def _lakes() -> Iterator[Finding]:
    names = [f"records.{table.name}" for table in built_tables()]
    told = [f"records.{table.name}" for table in standing_tables()]

    def held_in(open_lake: Callable[..., Any], counted: Sequence[str], others: Sequence[str] = ()) -> int:
        with open_lake(read_only=True) as connection:
            for table in (*counted, *others):  # a count alone would come from the catalog
                connection.execute(f"FROM {table} LIMIT 1").fetchall()
            return sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in counted)

    def of_vault() -> str:
        kept = held_in(open_vault, ["vault.resources"])
        quarantined = held_in(open_vault, ["vault.quarantine"])
        return f"{kept:,} versions of resources, {quarantined:,} more in quarantine"

    def of_records() -> str:
        people = held_in(open_records, ["records.built_people"])
        return f"{people:,} {'person' if people == 1 else 'people'}, {held_in(open_records, names, told):,} rows"

    yield _guard("vault", of_vault)
    yield _guard("records", of_records)


def _backups() -> Iterator[Finding]:
    """Whether what a backup needs is there: nobody should learn it on the day of the backup."""
    finding = _guard("backups", lambda: databases.tools(get_settings()) or "")
    if finding.detail:  # no database is PostgreSQL: nothing is needed
        yield finding


def _footing() -> Iterator[Finding]:
    what = "vault and state"
    try:
        with open_vault(read_only=True) as connection:
            footing.require(connection)
    except LakeError as error:
        if error.code == "CH504":
            yield Finding(what, False, f"{error.entry.title}: {error.what}", error.entry.mend)
    except Exception:  # noqa: S110  # the vault and the state database have findings of their own
        pass
    else:
        yield Finding(what, True, "what has been read is in the vault")


def _is_found(provider: ProviderView) -> bool:
    """Whether a partner found the provider, and stands for it."""
    return provider.slug.startswith(f"{provider.partner}-")


def _partners() -> Iterator[Finding]:
    """The partner networks that are set up: whom they search for, and what was in the way last."""
    try:
        with session(read_only=True) as state:
            accounts, searches = list_accounts(state), list_searches(state)
    except CharthouseError:
        return  # told of the state database already
    for account in accounts:
        mine = [search for search in searches if search.partner == account.partner]
        ours = sorted({str(search.code) for search in mine if search.code in OURS})
        owed = sum(search.ending for search in mine)
        detail = f"searches for {len(mine):,} people" + (f", {owed:,} of whom have ended it" if owed else "")
        mend = "Compare the account with the partner's: charthouse network list." if ours else ""
        yield Finding(f"partner {account.partner}", not ours, ", ".join([detail, *ours]), mend)


def _providers() -> Iterator[Finding]:
    try:
        with session() as state:
            accounts = {account.partner for account in list_accounts(state)}
            listed = [one for one in list_providers(state) if one.partner not in accounts or not _is_found(one)]
            # What phones hold is at no server.
            known = [(one.slug, one.fhir_base_url) for one in listed if not one.slug.startswith(HEALTH_CONNECT)]
    except Exception as error:  # the state database has its own finding
        told = f"they cannot be listed ({type(error).__name__})"
        yield Finding("providers", False, told, "Mend the state database first.")
        return
    played = known_providers()
    for slug, base in known:
        if slug in played:
            yield Finding(f"provider {slug}", True, "sandbox: runs only while a night or make airflow runs")
            continue
        try:
            answer = requests.get(f"{base}/metadata", timeout=10, headers={"Accept": "application/fhir+json"})
            healthy, detail = answer.ok, f"it answers with HTTP {answer.status_code}"
        except requests.Timeout:
            healthy, detail = False, "it does not answer in time"
        except requests.RequestException as error:
            healthy, detail = False, f"it cannot be reached ({type(error).__name__})"
        yield Finding(f"provider {slug}", healthy, detail, "" if healthy else "Check its endpoint and your network.")


def _alarms() -> Iterator[Finding]:
    """What only an operator can mend."""
    try:
        with session(read_only=True) as state:
            standing = [alarm for alarm in open_alarms(state) if alarm.code != deadlines.NEAR]  # told by _requests
    except Exception:  # the state database has its own finding
        return
    for alarm in standing:
        met = f"{alarm.code} {alarm.title}; {alarm.count:,} times since {alarm.opened_at:%Y-%m-%d %H:%M} UTC"
        yield Finding(f"alarm {alarm.subject}", False, met, alarm.mend)


def _requests() -> Iterator[Finding]:
    """Requests of people that do not get through, or come near the date by which the law wants them done."""
    try:
        with session(read_only=True) as state:
            pressing = deadlines.near(state)
            stuck = deadlines.stuck(state)
    except Exception:  # the state database has its own finding
        return
    for request in stuck:
        met = f"{request.tries:,} tries ({request.kind}), the last ended with {request.code}"
        if (entry := catalogue().get(str(request.code))) is not None:
            met += f" {entry.title}"
        again = f"then: charthouse requests retry {request.id}"
        yield Finding(f"request {request.id}", False, met, f"{entry.mend if entry else ''} Mended, {again}".strip())
    if pressing:
        due = f"{len(pressing):,} open near their due date; the first is due {pressing[0][1]:%Y-%m-%d %H:%M} UTC"
        yield Finding("requests of people", False, due, "See why they are not done: charthouse requests")
    elif not stuck:
        yield Finding("requests of people", True, "none is stuck, none is near its due date")


def _guard(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except CharthouseError as error:
        detail = ": ".join(part for part in (f"{error.code} {error.entry.title}", error.what) if part)
        return Finding(what, False, detail, error.entry.mend)
    except Exception as error:  # a doctor reports what it did not expect, too
        return Finding(
            what,
            False,
            f"it cannot be used ({type(error).__name__})",
            "Run: charthouse init; what it cannot make is in your backup.",
        )


_LOOKS = (
    _python,
    _versions,
    _extensions,
    _folders,
    _key,
    _state,
    _lakes,
    _footing,
    _backups,
    _providers,
    _partners,
    _requests,
    _alarms,
)
