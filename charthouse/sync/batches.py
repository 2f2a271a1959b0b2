"""A batch: some links of one night, worked through together from the provider to the vault.

`home/landing/<run_id>/<batch>/batch.json` lists the links by id, nothing else; what a link may see and whose it is
is read from the state database when it is needed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from charthouse.errors import FetchError
from charthouse.files import write_whole
from charthouse.linking import links
from charthouse.settings import get_settings
from charthouse.state import session

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from charthouse.linking.links import LinkWork


@dataclass(frozen=True, slots=True)
class Batch:
    """Where a batch stands on disk. Its name is `<run_id>/<batch>`."""

    name: str
    folder: Path
    link_ids: tuple[str, ...]
    bulk: bool = False
    """Whether it is fetched by an export of the provider's."""
    phone: bool = False
    """Whether its links are of phones: what they uploaded is landed, and nobody is asked."""
    partner: str | None = None
    """The partner through whom its links are read, all links of a person together; None where providers are asked."""
    whole: frozenset[str] = frozenset()
    """Those of its links that are asked for everything tonight (`charthouse.sync.whole_reads`)."""

    @property
    def planned_at(self) -> float:
        """When it was planned, in seconds since 1970 by this machine's clock."""
        return (self.folder / "batch.json").stat().st_mtime

    @property
    def run_id(self) -> str:
        """The run that the batch belongs to."""
        return self.name.split("/")[0]

    @property
    def checked(self) -> Path:
        """The accepted resources, as docs/architecture.md describes under "Checked"."""
        return self.folder / "checked.parquet"

    @property
    def quarantined(self) -> Path:
        """The resources that cannot be used."""
        return self.folder / "quarantined.parquet"

    @property
    def stored(self) -> bool:
        """Whether nothing is left to do: a task that is cleared later finds the landed files gone."""
        return self.stored_marker.exists()

    @property
    def stored_marker(self) -> Path:
        """There once the vault and the ledger have everything of the batch."""
        return self.folder / "stored.json"


def write(
    run_id: str,
    number: int,
    link_ids: Sequence[str],
    *,
    bulk: bool = False,
    phone: bool = False,
    whole: Collection[str] = (),
    partner: str | None = None,
) -> str:
    """Write down a batch. Returns its name."""
    name = f"{run_id}/batch-{number:04d}"
    said: dict[str, Any] = {
        "links": list(link_ids),
        "bulk": bulk,
        "phone": phone,
        "whole": [link for link in link_ids if link in whole],
    }
    if partner is not None:
        said["partner"] = partner
    write_whole(get_settings().landing / name / "batch.json", orjson.dumps(said))
    return name


def of_run(run_id: str) -> list[str]:
    """The names of a run's batches that are not stored yet."""
    folder = get_settings().landing / run_id
    planned = sorted(file.parent.name for file in folder.glob("*/batch.json"))
    return [f"{run_id}/{name}" for name in planned if not (folder / name / "stored.json").exists()]


def any_planned(run_id: str) -> bool:
    """Whether the run has been cut into batches already."""
    return any((get_settings().landing / run_id).glob("*/batch.json"))


def remove_landed(batch: Batch) -> None:
    """Delete what is stored; the marker that says so stays."""
    for link_id in batch.link_ids:
        shutil.rmtree(batch.folder / link_id, ignore_errors=True)
    for file in (batch.checked, batch.quarantined):
        file.unlink(missing_ok=True)


def read(name: str) -> Batch:
    """The batch of that name.

    Raises:
        FetchError: CH122 when its run has ended: a task of an old run was cleared.
    """
    folder = get_settings().landing / name
    try:
        said = orjson.loads((folder / "batch.json").read_bytes())
    except FileNotFoundError:
        raise FetchError("CH122", where=name) from None
    return Batch(
        name=name,
        folder=folder,
        link_ids=tuple(said["links"]),
        bulk=said.get("bulk", False),
        phone=said.get("phone", False),
        whole=frozenset(said.get("whole", ())),
        partner=said.get("partner"),
    )


def links_of(batch: Batch) -> list[LinkWork]:
    """The batch's links as the state database knows them now, whatever has become of their status."""
    with session() as state:
        return links.work_of(state, batch.link_ids)
