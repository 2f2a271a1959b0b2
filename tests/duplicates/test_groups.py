"""Groups of more than two, what one link repeats, which row is the best, and what the views show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.duplicates.test_kinds import CVX, DIABETES, FLU, GLUCOSE, LISINOPRIL, concept, condition, order, result, shot
from transforms.duplicates.page import page
from transforms.duplicates.relation import settled_sql
from transforms.duplicates.views import best_sql

if TYPE_CHECKING:
    from tests.duplicates.conftest import Lake

ROOT = Path(__file__).parents[2]
MORNING, EVENING = "2020-01-05T08:00:00Z", "2020-01-05T20:00:00Z"


def standing(lake: Lake) -> list[tuple[Any, ...]]:
    return lake.rows(
        "SELECT row_key, duplicate_group, rank, group_rows, matched_by, better_by FROM duplicates ORDER BY ALL"
    )


def test_a_link_keeps_its_own_rows_apart_and_no_chain_joins_them(lake: Lake) -> None:
    # Alike twice a day at one provider; the day alone at another; both times at a third.
    twice = [result(GLUCOSE, MORNING, 104, "mg/dL"), result(GLUCOSE, EVENING, 104, "mg/dL")]
    lake.send("chain", 1, *twice)
    lake.send("chain", 2, result(GLUCOSE, "2020-01-05", 104, "mg/dL"))
    lake.send("chain", 3, *twice)
    # One provider sends the same again under another id; the remark says so, and the group holds all three.
    lake.send("again", 1, result(GLUCOSE, MORNING, 104, "mg/dL"), result(GLUCOSE, MORNING, 104, "mg/dL"))
    lake.send("again", 2, result(GLUCOSE, MORNING, 104, "mg/dL"))
    # A registry's copy in the provider's own record: one link alone.
    lake.send(
        "alone",
        1,
        shot(FLU, "2021-10-05", lotNumber="AB12"),
        shot(concept(None, (CVX, "88")), "2021-10-05", primarySource=False),
        shot(concept(None, (CVX, "208")), "2021-10-05"),
    )
    # A refill at one provider each, and the same order by two routes to one provider.
    lake.send("routes", 1, order(LISINOPRIL, "2020-01-05"), order(LISINOPRIL, "2020-02-05"), provider="clinic")
    lake.send("routes", 2, order(LISINOPRIL, "2020-01-05"), provider="clinic", route="phone")
    lake.find()
    chain = lake.groups("chain")
    assert sorted(map(len, chain)) == [2, 3]
    assert all(len({key[0] for key in group}) == len(group) for group in chain), chain
    assert [len(group) for group in lake.groups("again")] == [3]
    assert [{key.split("/")[2] for key in group} for group in lake.groups("alone")] == [{"id-1-0", "id-1-1"}]
    assert [len(group) for group in lake.groups("routes")] == [2]
    repeated = lake.rows("SELECT count(*) FROM lab_results WHERE list_contains(remarks, 'repeated-result')")
    assert repeated == [(1,)]

    # Whoever else is there, and in whatever order, the answer is the same.
    found = standing(lake)
    lake.find_again("true")
    assert standing(lake) == found
    lake.find_again("person_key = 'chain'")
    assert standing(lake) == [each for each in found if each[0].startswith("chain")]


def test_the_best_row_says_why_and_a_view_shows_it_alone(lake: Lake) -> None:
    bare = result(concept("GLUCOSE"), "2020-01-05", 5.4, "mmol/L")
    lake.send("coded", 1, bare, result(GLUCOSE, "2020-03-01", 90, "mg/dL"))
    lake.send("coded", 2, result(GLUCOSE, MORNING, 97, "mg/dL"))
    lake.send("own", 1, shot(FLU, "2021-10-05", primarySource=False, lotNumber="AB12", expirationDate="2022-06-30"))
    lake.send("own", 2, shot(FLU, "2021-10-05"))
    lake.send("newer", 1, condition(DIABETES, "2015", meta={"lastUpdated": "2020-01-01T00:00:00Z"}))
    lake.send("newer", 2, condition(DIABETES, "2015", meta={"lastUpdated": "2023-01-01T00:00:00Z"}))
    lake.send("nothing", 1, order(LISINOPRIL, "2020-01-05"))
    lake.send("nothing", 2, order(LISINOPRIL, "2020-01-05"))
    lake.find()
    best = lake.rows("SELECT person_key, right(link_id, 1), better_by FROM duplicates WHERE is_best ORDER BY ALL")
    assert best == [("coded", "2", "coded"), ("newer", "2", "newer"), ("nothing", "1", "by-key"), ("own", "2", "own")]
    view = f"SELECT right(link_id, 1), value, group_rows, best_because FROM ({best_sql('lab_results')}) ORDER BY ALL"
    assert lake.rows(view) == [("1", 90.0, 1, None), ("2", 97.0, 2, "coded")]
    columns = [name for (name, *_) in lake.rows("DESCRIBE lab_results")]
    shown = [name for (name, *_) in lake.rows(f"DESCRIBE ({best_sql('lab_results')})")]
    assert shown == [*columns, "duplicate_group", "group_rows", "best_because"]

    # The best row goes: the next takes its place, in the view at once, and in the table when it is settled.
    lake.rows("DELETE FROM duplicates WHERE is_best AND person_key IN ('coded', 'own')")
    lake.rows("DELETE FROM lab_results WHERE link_id = 'coded-2'")
    assert [row[:2] for row in lake.rows(view)] == [("1", 5.4), ("1", 90.0)]
    left = lake.rows(f"SELECT DISTINCT person_key FROM ({settled_sql('duplicates')}) ORDER BY ALL")
    assert left == [("newer",), ("nothing",)]


def test_the_page_is_written_from_the_declarations() -> None:
    assert (ROOT / "docs" / "duplicates.md").read_text() == page(), "run: python -m transforms.duplicates"
