"""All tables of 146 published people, held against their raw Bundles by a reading of its own (`raw.py`).

The people are built once, a few at a time, into Parquet files ordered by key; every question asks those.
"""

from __future__ import annotations

import gzip
import heapq
import json
import re
import zlib
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tables.raw import CHILDREN, Json, Link, Row, Sent, beside_of, codes_of, read, rows_of, secrets_of, told_of
from tests.tables.staging import helped_sql, prepared
from transforms.bundles import read_page, resource_stub
from transforms.tables import MAPPING_VERSION, all_tables, other_tables, resource_types, sql_views

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from transforms.tables import Presence

SHARED = Path(__file__).parents[3] / "shared" / "data"
SETS = {"synthea-r4": 63, "synthea-us-core": 83}
EXAMPLES = "us-core-examples"
AT_ONCE = 32
SAMPLE = 50
SEED = b"charthouse"
FREE_TEXT = {
    "text", "value_text", "notes", "onset_text", "abatement_text", "performed_text", "occurrence_text", "description",
    "words", "dosage_text", "patient_instruction",
}  # fmt: skip
"""Where senders write in their own words: what stands there cannot be promised."""

pytestmark = pytest.mark.shared_data


@dataclass
class Published:
    """What was built, and what the raw JSON says it must be."""

    folder: Path
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    people: Counter[str] = field(default_factory=Counter)
    secrets: set[str] = field(default_factory=set)
    patients: list[str] = field(default_factory=list)
    beside: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    codes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    sample: dict[str, list[tuple[int, str, dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))

    def rows(self, table: str) -> str:
        """The rows of a table, as SQL."""
        return f"read_parquet('{self.folder}/*/{table}.parquet')"

    def look(self, sent: str, link: Link, resources: Sequence[Json]) -> None:
        """Count the rows that these resources must make, and keep what some of them must say."""
        for each in resources:
            link.learn(each)
        drawn: dict[str, list[tuple[int, str, Json, int]]] = defaultdict(list)
        for each in resources:
            if each["resourceType"] == "Patient" and sent in SETS:
                self.people[sent] += 1
                self.secrets |= secrets_of(each)
                self.patients.append(json.dumps(each))
                self.told[link.link_id] = told_of(each)
            if sent in SETS:
                self.beside[sent].update(dict(beside_of(each)))
                self.codes.update(codes_of(link, each))
            for table, number in rows_of(each):
                self.counts[sent][table] += 1
                key = f"{link.link_id}/{each['resourceType']}/{each['id']}/{number}"
                drawn[table].append((zlib.crc32(key.encode(), zlib.crc32(SEED)), key, each, number))
        for table, those in drawn.items():
            new = [
                (rank, key, Row(link, each, table, number).expected)
                for rank, key, each, number in heapq.nsmallest(SAMPLE, those)
            ]
            self.sample[table] = heapq.nsmallest(SAMPLE, self.sample[table] + new)


def files() -> Iterator[tuple[str, Path]]:
    for folder in SETS:
        yield from ((folder, file) for file in sorted((SHARED / folder).glob("*.gz")))


def pages() -> Iterator[tuple[str, bytes]]:
    """Each link's Bundle: a person's, or all of the examples, which point at each other."""
    yield from ((folder, gzip.decompress(file.read_bytes())) for folder, file in files())
    found = [raw for file in (SHARED / EXAMPLES).glob("*.json") if b'"Bundle"' not in (raw := file.read_bytes())[:99]]
    yield EXAMPLES, page(found)


def page(raws: Iterable[bytes]) -> bytes:
    """A Bundle of these resources."""
    return b'{"resourceType":"Bundle","entry":[%s]}' % b",".join(b'{"resource":%s}' % raw for raw in raws)


@contextmanager
def staged(links: Iterable[tuple[Link, bytes]]) -> Iterator[tuple[duckdb.DuckDBPyConnection, Presence]]:
    """A connection in which everything has been prepared, as the build stage does it from the vault."""
    held = set(resource_types())
    names = ("person_key", "link_id", "resource_type", "resource_id", "last_updated", "resource")
    with duckdb.connect(config={"memory_limit": "2GB", "threads": 2}) as connection:
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        connection.execute(f"CREATE TABLE staged ({', '.join(f'{name} VARCHAR' for name in names)})")
        connection.execute("CREATE TABLE links (link_id VARCHAR, provider VARCHAR, route VARCHAR)")
        for link, body in links:
            rows = [
                (link.person_key, link.link_id, kind, name, updated, entry.raw.decode())
                for entry in read_page(body).entries
                for kind, name, updated in (resource_stub(entry.raw),)
                if kind in held and name
            ]
            batch = pa.table(
                {
                    name: pa.array(column, pa.string())
                    for name, column in zip(names, zip(*rows, strict=True), strict=True)
                }
            )
            connection.register("batch", batch)
            connection.execute("INSERT INTO staged FROM batch")
            connection.unregister("batch")
            connection.execute("INSERT INTO links VALUES (?, ?, 'direct')", [link.link_id, link.provider])
        yield connection, prepared(connection, links="links")


def write(connection: duckdb.DuckDBPyConnection, present: Presence, folder: Path) -> None:
    """All tables, ordered by key."""
    folder.mkdir()
    selects = {each.name: f"{each.select_sql(present)} ORDER BY row_key" for each in (*all_tables(), *other_tables())}
    selects |= {name: helped_sql(name) for name in ("demographics",)}
    for name, select in selects.items():
        connection.execute(f"COPY ({select}) TO '{folder / name}.parquet' (FORMAT parquet)")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    made = Published(tmp_path_factory.mktemp("published"))
    coming, number = enumerate(pages()), 0
    while some := list(islice(coming, AT_ONCE)):
        links = []
        for nth, (sent, body) in some:
            link = Link(f"person-{nth}", f"link-{nth}", sent)
            made.look(sent, link, read(body))
            links.append((link, body))
        with staged(links) as (connection, present):
            write(connection, present, made.folder / str(number))
        number += 1
    return made


def test_every_category_has_the_rows_that_the_bundles_have(published: Published) -> None:
    assert {sent: published.people[sent] for sent in SETS} == SETS
    for sent in SETS:
        found = {}
        for each in all_tables():
            through = "link_id" if each.parent else "provider"
            of_set = f"SELECT link_id FROM {published.rows('visits')} WHERE provider = '{sent}'"
            among = f"provider = '{sent}'" if through == "provider" else f"link_id IN ({of_set})"
            found[each.name] = one(f"SELECT count(*) FROM {published.rows(each.name)} WHERE {among}")
        assert {name: rows for name, rows in found.items() if rows} == published.counts[sent]
    assert published.counts["synthea-r4"]["vitals"] > 4_000
    assert published.counts["synthea-us-core"]["lab_results"] > 26_000


def test_beside_the_ten_stands_what_the_bundles_have(published: Published) -> None:
    found: dict[str, dict[str, int]] = {sent: {} for sent in SETS}
    for each in other_tables():
        of_set = f"SELECT link_id, any_value(provider) AS sent FROM {published.rows('visits')} GROUP BY link_id"
        counted = f"SELECT sent, count(*) FROM {published.rows(each.name)} JOIN ({of_set}) USING (link_id) GROUP BY ALL"
        for sent, rows in duckdb.sql(counted).fetchall():
            if sent in found:
                found[sent][each.name] = rows
    assert found == {sent: {name: n for name, n in published.beside[sent].items() if n} for sent in SETS}
    assert found["synthea-us-core"].keys() >= {"documents", "reports", "report_results", "surveys"}

    shown = f"SELECT link_id, {', '.join(next(iter(published.told.values())))} FROM {published.rows('demographics')}"
    relation = duckdb.sql(shown)
    rows = {row[0]: dict(zip(relation.columns[1:], row[1:], strict=True)) for row in relation.fetchall()}
    assert {link: rows[link] for link in published.told} == published.told

    with duckdb.connect() as connection:
        for name in {table for table, *_ in published.codes} | {"contained_results"}:
            told = f"FROM {published.rows(name)} WHERE provider <> '{EXAMPLES}'"
            connection.execute(f"CREATE VIEW {name} AS {told}")
        for name in ("pregnancy", "surveys"):
            connection.execute(f"CREATE VIEW IF NOT EXISTS {name} AS FROM {published.rows(name)} WHERE false")
        (view,) = (each for each in sql_views() if each.name == "codes")
        counted = f"SELECT table_name, code_system, code, row_count FROM ({view.sql})"
        assert {(a, b, c): n for a, b, c, n in connection.execute(counted).fetchall()} == published.codes


@pytest.mark.parametrize("table", [each.name for each in all_tables()])
def test_sampled_rows_say_what_the_raw_json_says(published: Published, table: str) -> None:
    drawn = published.sample[table]
    assert len(drawn) == min(SAMPLE, sum(counts[table] for counts in published.counts.values()))
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    keys = ", ".join(f"'{expected['row_key']}'" for _, _, expected in drawn)
    rows = connection.sql(f"FROM {published.rows(table)} WHERE row_key IN ({keys or 'NULL'})").to_arrow_table()
    found = {row["row_key"]: row for row in rows.to_pylist()}
    begun = {"parent_key"} if table in CHILDREN else set(rows.column_names[:26]) - {"mapping_version"}
    for _, _, expected in drawn:
        row = found[expected["row_key"]]
        assert row.pop("mapping_version") == MAPPING_VERSION
        assert begun <= expected.keys()
        assert len(expected.keys() - begun) >= 10 or table == "visit_diagnoses"
        assert not differing(row, expected), expected["row_key"]


def differing(row: dict[str, Any], expected: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The columns that say another thing than they must: what they say, what they must.

    That another row says the same is no matter of one row: see `test_written_otherwise`.
    """
    row = (
        {**row, "remarks": [each for each in row["remarks"] if each != "repeated-result"]} if "remarks" in row else row
    )
    return {name: (row[name], value) for name, value in expected.items() if not same(row[name], value)}


def same(found: Any, wanted: Any) -> bool:
    """Whether a value is as it must be; of a struct only what is told here. An empty list is as none."""
    if isinstance(wanted, list):
        given = found or []
        return len(given) == len(wanted) and all(map(same, given, wanted))
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(same(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, Sent):
        return found == str(wanted)
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def test_a_second_build_is_the_same_to_the_byte(tmp_path: Path) -> None:
    # Of both sets, and the second time what came last is staged first.
    some = [body for nth, (_, body) in enumerate(pages()) if nth % 20 == 3]
    links = [(Link(f"person-{nth}", f"link-{nth}", "shore"), body) for nth, body in enumerate(some)]
    for name, those in (("first", links), ("second", links[::-1])):
        with staged(those) as (connection, present):
            write(connection, present, tmp_path / name)
    for each in (*all_tables(), *other_tables()):
        first, second = (tmp_path / name / f"{each.name}.parquet" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes(), each.name
        keys = pq.read_table(first, columns=["row_key"])["row_key"].to_pylist()
        assert keys == sorted(set(keys)), each.name


def test_no_table_says_who_the_people_are(published: Published) -> None:
    starts = {re.findall(r"\w+", secret)[0] for secret in published.secrets}

    def told(text: str) -> list[str]:
        if starts.isdisjoint(re.findall(r"\w+", text)):
            return []
        return [secret for secret in published.secrets if secret in text]

    assert len(published.patients) == sum(SETS.values())
    assert all(told(text) for text in published.patients)
    leaking = {}
    for each in (*all_tables(), *other_tables()):
        for column in each.columns:
            if column.sql_type not in {"BOOLEAN", "DOUBLE", "TIMESTAMPTZ", "DATE"} and column.name not in FREE_TEXT:
                texts = duckdb.sql(
                    f'SELECT DISTINCT "{column.name}"::VARCHAR FROM {published.rows(each.name)}'
                ).fetchall()
                if found := [text for (text,) in texts if text and told(text)]:
                    leaking[each.name, column.name] = len(found)
    assert not leaking


def one(query: str) -> Any:
    (row,) = duckdb.sql(query).fetchall()
    return row[0]
