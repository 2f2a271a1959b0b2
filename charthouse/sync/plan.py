"""Plan: which links are due tonight, cut into batches of one provider each."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse import faults, progress
from charthouse.linking import judging, links
from charthouse.linking.bulk_sources import worth_from
from charthouse.linking.providers import get_provider
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.models import Link
from charthouse.sync import batches, footing, runs, whole_reads
from charthouse.sync.bulk_marks import ALL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy.orm import Session

    from charthouse.linking.links import LinkWork

EVERY_PROVIDER = "all"
WAITING = "waiting"
"""The scope of a run for links that wait: new ones, and those for which somebody asked."""


def plan_run(providers: Sequence[str], *, airflow_run_id: str, waiting: bool = False) -> list[str]:
    """Open tonight's run, or take up the one of the same scope that was killed. Returns the batches not stored yet.

    Args:
        providers: slugs; none means every provider.
        airflow_run_id: Airflow's own id of the run, kept in the ledger.
        waiting: take only the links that wait (`links.due_links`), in a run of that scope.

    Raises:
        StateError: CH602 for a provider that is not registered; no run is opened then.
        LakeError: CH504 when the vault lacks what has been read; no run is opened, no provider asked.
    """
    footing.check()
    scope = ",".join(sorted(providers)) or (WAITING if waiting else EVERY_PROVIDER)
    with session() as state:
        for slug in providers:
            get_provider(state, slug)
        run_id = runs.open_or_resume_run(state, scope, airflow_run_id).id
    with runs.stage(run_id, "plan") as counts:
        names = batches.of_run(run_id)
        if not batches.any_planned(run_id):
            judging.judge_waiting()
            with session() as state:
                due = links.due_links(state, providers, waiting=waiting)
                exported = _exported(state, due)
                whole = whole_reads.due_tonight(due, get_settings().whole_days, now())
                runs.plan_links(state, run_id, [link.link_id for link in due])
                links.set_sync_statuses(state, dict.fromkeys([link.link_id for link in due], "waiting"))
                links.requests_met(state, [link.link_id for link in due])
            faults.point("plan.links")
            direct = [link for link in due if link.partner is None]
            planned_batches: list[tuple[list[LinkWork], bool, str | None]] = [
                *((batch, bulk, None) for batch, bulk in _cut(direct, exported, whole)),
                *((batch, False, partner) for partner, batch in _of_partners(due)),
            ]
            names = [
                batches.write(
                    run_id,
                    number,
                    [link.link_id for link in batch],
                    bulk=bulk,
                    phone=batch[0].route == "phone",
                    whole=whole,
                    partner=partner,
                )
                for number, (batch, bulk, partner) in enumerate(planned_batches, start=1)
            ]
        planned = _by_provider(names)
        counts |= {"batches": len(names), "links": planned.total()}
    progress.tell("fetch", 0, total=planned.total(), unit="links")
    for provider, number in sorted(planned.items()):
        progress.tell("fetch", 0, total=number, unit="links", provider=provider)
    return names


def _by_provider(names: Sequence[str]) -> Counter[str]:
    """How many links of each provider are in these batches, each of which is one provider's, or one partner's."""
    with session(read_only=True) as state:
        planned: Counter[str] = Counter()
        for batch in map(batches.read, names):
            if batch.partner is not None:
                planned[batch.partner] += len(batch.link_ids)
                continue
            provider = state.scalar(select(Link.provider).where(Link.id.in_(batch.link_ids)).limit(1))
            if provider is not None:  # else all of them were erased since
                planned[provider] += len(batch.link_ids)
    return planned


def any_waiting() -> bool:
    """Whether links wait for a run of their own."""
    with session(read_only=True) as state:
        return bool(links.due_links(state, waiting=True))


def _exported(state: Session, due: Sequence[LinkWork]) -> set[str]:
    """The providers that export tonight: where it is worth it, and where a link has no tokens to be searched with."""
    worth = worth_from(state)
    due = [link for link in due if link.route != "phone"]
    counts = Counter(link.provider for link in due)
    without = links.without_tokens(state, [link.link_id for link in due if link.provider in worth])
    return {slug for slug, number in worth.items() if counts[slug] >= number} | {
        link.provider for link in due if link.link_id in without
    }


def _of_partners(due: Sequence[LinkWork]) -> Iterator[tuple[str, list[LinkWork]]]:
    """Batches of the links that are read through partners: all of a person together, for they come in one stream."""
    settings = get_settings()
    through = sorted((link for link in due if link.partner is not None), key=lambda one: (one.partner, one.person_key))
    size = max(settings.batch_links, -(-len(through) // settings.max_batches))
    for partner, theirs in groupby(through, key=lambda link: str(link.partner)):
        batch: list[LinkWork] = []
        for _, person in groupby(theirs, key=lambda link: link.person_key):
            batch += person
            if len(batch) >= size:
                yield partner, batch
                batch = []
        if batch:
            yield partner, batch


def _cut(
    due: Sequence[LinkWork], exported: Collection[str], whole: Collection[str] = ()
) -> Iterator[tuple[list[LinkWork], bool]]:
    """Batches of one provider each, as large as it takes to stay within the most that a run may map.

    The providers take turns: one that is slow, and has many batches, is not before the others in all of them. The links
    of a provider that is exported go together; those that no export has brought yet, or that are due for everything
    again, apart from the others. Each batch says whether it is an export's.
    """
    settings = get_settings()
    size = max(settings.batch_links, -(-len(due) // settings.max_batches))
    by_provider = []
    # A provider's links from phones go apart from the others: what they uploaded is here, and nobody is asked.
    ordered = sorted(due, key=lambda link: (link.provider, link.route == "phone"))
    for (provider, by_phone), group in groupby(ordered, key=lambda link: (link.provider, link.route == "phone")):
        found = list(group)
        if provider in exported and not by_phone:
            behind = {link.link_id for link in found if ALL not in link.watermarks} | set(whole)
            halves = [[link for link in found if (link.link_id in behind) is one] for one in (False, True)]
            by_provider.append([(half, True) for half in halves if half])
        else:
            by_provider.append([(found[start : start + size], False) for start in range(0, len(found), size)])
    for turn in zip_longest(*by_provider):
        yield from (batch for batch in turn if batch is not None)
