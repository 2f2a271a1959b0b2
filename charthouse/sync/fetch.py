"""Fetch: the pages of a batch of links, landed as received; many links at once, each resumable by itself.

What goes wrong with a resource, a type or a link is written into that link's manifest as a numbered outcome and stops
nothing else. Run again on the same folder, a killed fetch asks only for what it does not have.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charthouse.log import get_logger
from charthouse.partners.http import HttpClient
from charthouse.partners.page_sizes import PageSizes
from charthouse.sync.fetch_link import LinkFetch, always
from charthouse.sync.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from charthouse.partners.hosts import Hosts
    from charthouse.settings import Settings
    from charthouse.sync.fetch_link import Presence
    from charthouse.sync.landing import Manifest
    from charthouse.sync.link_job import LinkJob, TokenSource
    from charthouse.sync.servers import Memory

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FetchSummary:
    """What a batch brought: links by how they ended, entries and bytes landed, HTTP requests sent by this call."""

    links: int
    complete: int
    partial: int
    failed: int
    resources: int
    bytes: int
    requests: int


def fetch_batch(
    jobs: Sequence[LinkJob],
    folder: Path,
    tokens: TokenSource,
    settings: Settings,
    *,
    on_link: Callable[[Manifest], None] | None = None,
    present: Presence = always,
    hosts: Hosts | None = None,
    memory: Memory | None = None,
) -> FetchSummary:
    """Fetch every link of a batch into `folder/<link_id>/`, by `settings.fetch_threads` requests at once.

    The first links' types fill the threads side by side; where they run out, the next links' do. `hosts` is what all
    workers know of the providers' hosts; without it, this batch goes by itself.
    `memory` is where servers are remembered from night to night.
    `on_link` is called in this thread with each manifest as it is written. Links that have their marker already are
    counted and not asked again. `present` says whether a link is still there when its folder is made, and when it is
    closed: of one that is gone nothing lands, and nothing is told.

    Raises:
        OSError: the landing cannot be written. Nothing that a provider does raises.
    """
    manifests = []
    with (
        HttpClient(settings, seconds=settings.fetch_time_max, hosts=hosts) as client,
        ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="query") as queries,
        ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="link") as pool,
    ):
        servers, sizes = Servers(client, memory), PageSizes(client.hosts)

        def fetch(job: LinkJob) -> Manifest | None:
            here = folder / job.link_id
            return LinkFetch(job, here, client, servers.of, tokens, settings, queries, sizes, present).run()

        futures = [pool.submit(fetch, job) for job in jobs]
        try:
            for future in as_completed(futures):
                manifest = future.result()
                if manifest is None:
                    continue
                manifests.append(manifest)
                log.info(
                    "link fetched",
                    link_id=manifest.link_id,
                    status=manifest.status,
                    queries=len(manifest.queries),
                    resources=manifest.resources,
                    codes=sorted({outcome.code for outcome in manifest.outcomes}),
                )
                if on_link is not None:
                    on_link(manifest)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # out of time: links that wait for a thread are not begun
            raise
        requests = client.requests
    statuses = [manifest.status for manifest in manifests]
    return FetchSummary(
        links=len(manifests),
        complete=statuses.count("complete"),
        partial=statuses.count("partial"),
        failed=statuses.count("failed"),
        resources=sum(manifest.resources for manifest in manifests),
        bytes=sum(manifest.bytes for manifest in manifests),
        requests=requests,
    )
