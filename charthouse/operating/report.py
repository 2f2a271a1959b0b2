"""The account of a run, as plain data for programs and as a page for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from charthouse.errors import StateError, catalogue
from charthouse.linking.alarms import open_alarms
from charthouse.privacy import deadlines
from charthouse.state import session
from charthouse.sync import runs

if TYPE_CHECKING:
    from rich.console import Console

    from charthouse.sync.runs import RunReport

NOBODYS = "not_in_compartment"
"""Why a type is not asked for that belongs to nobody. A server offers many of these, so they share one line."""

COLOURS = {"complete": "green", "partial": "yellow", "running": "cyan", "held": "red", "failed": "red"}


def latest() -> RunReport:
    """The report of the run that was begun last.

    Raises:
        StateError: CH009 when there has been none.
    """
    with session(read_only=True) as state:
        run = runs.latest_run(state)
        if run is None:
            raise StateError("CH009")
        return runs.run_report(state, run.id)


def as_data(report: RunReport) -> dict[str, Any]:
    """The report as plain data, with its derived figures."""
    return asdict(report) | {
        "seconds": report.seconds,
        "fetched": report.fetched,
        "new_versions": report.new_versions,
        "nothing_new": report.nothing_new,
        "audit_to_build": report.audit_to_build,
    }


def render_alarms(out: Console) -> None:
    """Print what only an operator can mend, if there is anything."""
    with session(read_only=True) as state:
        standing = [alarm for alarm in open_alarms(state) if alarm.code != deadlines.NEAR]
        pressing = deadlines.near(state)
        stuck = deadlines.stuck(state)
    for request in stuck:
        known = catalogue().get(str(request.code))
        said = f"{request.code} {known.title if known else ''}: request {request.id} ({request.kind}), "
        out.print(f"{said}{request.tries:,} tries", style="red", highlight=False)
        out.print(f"  Mended, try it at once: charthouse requests retry {request.id}", highlight=False)
    for request_id, due in pressing:
        title = catalogue()[deadlines.NEAR].title
        out.print(f"{deadlines.NEAR} {title}: {request_id}, due {due:%Y-%m-%d %H:%M} UTC", style="red", highlight=False)
    for alarm in standing:
        out.print(f"{alarm.code} {alarm.title}: {alarm.subject} ({alarm.count:,} times)", style="red", highlight=False)
        out.print(f"  {alarm.mend}", highlight=False)


def render(report: RunReport, out: Console) -> None:
    """Print the report as a page: links, resources by type, rows by table, seconds by stage, what went wrong."""
    colour = COLOURS[report.status]
    took = f" in {report.seconds:.1f} s" if report.seconds is not None else ""
    resumed = f", resumed {report.resumed} times" if report.resumed else ""
    out.print(
        f"\nRun {report.run_id} ({report.scope}): [{colour}]{report.status}[/{colour}]{took}{resumed}", highlight=False
    )
    if why := _why_partial(report):
        out.print(f"{report.status}: {why}", style=colour, highlight=False)
    links = report.links
    ended = f"{links.complete:,} complete, {links.partial:,} partial, {links.failed:,} failed"
    out.print(f"Links: {links.total:,} synced: {ended}", highlight=False)
    if report.vanished or report.returned:
        gone = f"{report.vanished:,} since this night; served again: {report.returned:,}"
        out.print(f"Served no longer: {gone}", highlight=False)
    if report.finished_at is not None and report.nothing_new:
        out.print("Nothing new: no resource differed from the vault, so no table was rewritten.", style="bold")
    for table, words in (
        (_types(report), "what several links bring counts for each; new: versions that the vault had not seen"),
        (
            _tables(report),
            "rewritten: rows of the people whose records changed; withheld: rows that nobody could place",
        ),
        (_rules(report), "marked: published, with the rule, or what the build says in its place, in its remarks"),
        (_stages(report), "parts: tasks, some of them side by side"),
    ):
        if table.row_count:
            out.print(table)
            out.print(words, style="dim", highlight=False)
    if report.audit_to_build is not None:
        out.print(f"The audit took {report.audit_to_build:.2f} of the time of the build.", highlight=False)
    if report.outcomes:
        out.print(_outcomes(report))


def _why_partial(report: RunReport) -> str:
    """What a run that is not complete lacks, in a few words; empty where there is nothing to say."""
    if report.status != "partial":
        return ""
    links = report.links
    told = [
        (links.total - links.complete, "link not read to its end", "links not read to their end"),
        (sum(row.quarantined for row in report.types), "resource quarantined", "resources quarantined"),
        (sum(row.with_remarks for row in report.types), "resource marked", "resources marked"),
        (sum(row.held_rows for row in report.tables), "row withheld", "rows withheld"),
    ]
    said = [f"{number:,} {one if number == 1 else many}" for number, one, many in told if number]
    return ", ".join(said) or "see the outcomes below"


def _types(report: RunReport) -> Table:
    table = _table("Resources", "fetched", "accepted", "with remarks", "quarantined", "new", "not requested")
    nobodys = [row for row in report.types if not row.fetched and set(row.not_requested) == {NOBODYS}]
    for row in report.types:
        if row in nobodys:
            continue
        reasons = ", ".join(f"{reason} ×{count}" for reason, count in row.not_requested.items())
        numbers = (row.fetched, row.accepted, row.with_remarks, row.quarantined, row.new_versions)
        table.add_row(row.resource_type, *(f"{number:,}" for number in numbers), reasons)
    if nobodys:
        kinds = "1 other type" if len(nobodys) == 1 else f"{len(nobodys)} other types"
        table.add_row(kinds, *"00000", NOBODYS)
    totals = [
        sum(getattr(row, name) for row in report.types)
        for name in ("fetched", "accepted", "with_remarks", "quarantined", "new_versions")
    ]
    table.add_section()
    table.add_row("all", *(f"{total:,}" for total in totals), "", style="bold")
    return table


def _tables(report: RunReport) -> Table:
    table = _table("Tables", "rows", "rewritten", "withheld")
    for row in report.tables:
        table.add_row(row.table, f"{row.rows:,}", f"{row.rows_changed:,}", f"{row.held_rows:,}")
    return table


def _rules(report: RunReport) -> Table:
    table = _table("Rules broken", "rows", "which are")
    for row in report.rules:
        table.add_row(row.rule, f"{row.rows:,}", row.does)
    return table


def _stages(report: RunReport) -> Table:
    table = _table("Stages", "seconds", "parts", "counts")
    for row in report.stages:
        counts = ", ".join(f"{count:,} {name}" for name, count in row.detail.items())
        table.add_row(row.stage, f"{row.wall_seconds:.1f}", str(row.parts), counts)
    return table


def _outcomes(report: RunReport) -> Table:
    table = _table("Outcomes", "unit", "type", "count", "links", "what it means")
    known = catalogue()
    for row in report.outcomes:
        meaning = known[row.code].title if row.code in known else ""
        table.add_row(row.code, row.unit, row.resource_type or "", f"{row.count:,}", f"{row.links:,}", meaning)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(f"\n{first}", min_width=22)
    for name in others:
        text = name in {"not requested", "counts", "unit", "type", "what it means", "which are"}
        table.add_column(f"\n{name}", justify="left" if text else "right", no_wrap=not text)
    return table
