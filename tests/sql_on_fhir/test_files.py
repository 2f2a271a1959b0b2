"""Files that DuckDB's reader does not take as they are: a byte order mark, and lines of many megabytes."""

from __future__ import annotations

import codecs
import gzip
import json
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from transforms.sql_on_fhir import Remark, ViewError, remarks_of, run_view, write_view

if TYPE_CHECKING:
    from pathlib import Path

VIEW = {
    "resource": "Patient",
    "select": [{"column": [{"name": "id", "path": "id"}, {"name": "born", "path": "birthDate"}]}],
}
ITEMS = {
    "resource": "QuestionnaireResponse",
    "select": [
        {
            "repeat": ["item"],
            "column": [{"name": "link", "path": "linkId"}, {"name": "text", "path": "answer.value.ofType(string)"}],
        },
        {"column": [{"name": "by", "path": "contained.ofType(Practitioner).name.family.first()"}]},
    ],
}
MEGABYTE = 1024 * 1024


def line(key: str, **more: Any) -> bytes:
    return json.dumps({"resourceType": "Patient", "id": key, **more}).encode() + b"\r\n"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever a run copies is gone after it."""
    folder = tmp_path_factory.mktemp("temporary")
    run_view(VIEW, [])  # the database of the process has its folder already
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("odd", [b"", b"no json\r\n"], ids=["good", "odd"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, odd: bytes) -> None:
    """Plain and gzip, among others without one, with the fast reader and the forgiving one."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a.ndjson").write_bytes(codecs.BOM_UTF8 + line("a") + line("b"))
    (folder / "b.ndjson.gz").write_bytes(gzip.compress(codecs.BOM_UTF8 * 2 + line("c") + line("d") + odd))
    (folder / "c.ndjson").write_bytes(line("e"))
    remarks = (Remark("CH321", "Patient", 1),) if odd else ()
    for source in (folder, f"{folder}/*"):
        table = run_view(VIEW, source)
        assert sorted(table["id"].to_pylist()) == ["a", "b", "c", "d", "e"]
        assert remarks_of(table) == remarks
    assert write_view(VIEW, folder, tmp_path / "out.csv") == (5, remarks)
    assert run_view(VIEW, folder / "a.ndjson")["id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(("megabytes", "ending"), [(17, ".ndjson"), (50, ".ndjson.gz")])
def test_lines_longer_than_the_usual_limit(tmp_path: Path, megabytes: int, ending: str) -> None:
    """What the view does not read of them takes no memory of the database, be there misfits or not."""
    note = "x" * (megabytes * MEGABYTE)
    lines = [line("a", text={"div": note}), line("b"), line("c", photo=[{"data": note}], birthDate={"no": "date"})]
    file = tmp_path / f"long{ending}"
    for count, remarks in ((2, ()), (3, (Remark("CH320", "Patient.birthDate", 1),))):
        whole = b"".join(lines[:count])
        file.write_bytes(gzip.compress(whole, 1) if ending.endswith("gz") else whole)
        table = run_view(VIEW, file)
        assert sorted(table["id"].to_pylist()) == ["a", "b", "c"][:count]
        assert remarks_of(table) == remarks
        assert write_view(VIEW, file, tmp_path / "out.parquet") == (count, remarks)


def test_long_lines_are_cut_within_what_is_read(tmp_path: Path) -> None:
    """A repeat and resources within are parsed from text; what is beside the elements read of them is left out too."""
    note = "x" * (17 * MEGABYTE)
    answer = {"linkId": "2", "answer": [{"valueString": "[no", "extension": [{"url": "u", "valueString": note}]}]}
    resource = {
        "resourceType": "QuestionnaireResponse",
        "contained": [
            {"resourceType": "Practitioner", "name": [{"family": "F", "text": note}, "odd"]},
            {"resourceType": "Binary", "data": note},
        ],
        "item": [{"linkId": "1", "text": note, "item": [answer, {"linkId": ["odd"], "text": note}]}],
    }
    short = json.loads(json.dumps(resource).replace(note, "x"))
    file = tmp_path / "long.ndjson"
    file.write_text((json.dumps(resource) + "\n") * 2)
    table, expected = run_view(ITEMS, file), run_view(ITEMS, [short] * 2)
    assert sorted(table.to_pylist(), key=str) == sorted(expected.to_pylist(), key=str)
    assert set(remarks_of(table)) == set(remarks_of(expected))
    assert len(remarks_of(table)) == 2


def test_long_resources_of_a_sequence(tmp_path: Path) -> None:
    view = {
        "resource": "Patient",
        "select": [*VIEW["select"], {"column": [{"name": "data", "path": "photo.first().data"}]}],
    }
    for odd, megabytes in (("1990", 50), ({}, 50), ("1990", 33)):
        resource = {
            "resourceType": "Patient",
            "id": "a",
            "birthDate": odd,
            "text": {"div": "x" * (megabytes * MEGABYTE)},
        }
        if megabytes == 33:
            resource["photo"] = [{"data": resource.pop("text")["div"]}]
        table = run_view(view, [resource, {"resourceType": "Patient", "id": "b"}])
        assert table["id"].to_pylist() == ["a", "b"]
        assert len(remarks_of(table)) == (odd == {})


def test_a_long_line_that_is_no_json_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "long.ndjson"
    file.write_bytes(b'{"resourceType": "Patient", "id": "' + b"x" * (17 * MEGABYTE) + b"\n" + line("a"))
    table = run_view(VIEW, file)
    assert table["id"].to_pylist() == ["a"]
    assert remarks_of(table) == (Remark("CH321", "Patient", 1),)


def test_what_memory_cannot_hold_says_what_to_do(tmp_path: Path) -> None:
    view = {"resource": "Patient", "select": [{"column": [{"name": "data", "path": "photo.first().data"}]}]}
    file = tmp_path / "long.ndjson"
    file.write_bytes(line("a", photo=[{"data": "x" * (60 * MEGABYTE)}, 5]) * 3)
    with pytest.raises(ViewError, match=r"CH311.*leave out columns of long texts.*memory_limit"):
        run_view(view, file)
