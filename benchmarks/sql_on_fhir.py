"""SQL on FHIR on DuckDB: this compiler against SQL by hand, JSON-path SQL, `sqlonfhir` and, where it loads, `pysof`.

    python -m benchmarks.sql_on_fhir [--people 1200] [--rounds 3] [--gigabytes 0]

One run, one input (the sandbox's made-up people: some 240 Observations and 18 Encounters each), the same columns.
Contenders take turns, and the best of the rounds counts. What DuckDB runs is compared by its rows. `--gigabytes 2` adds
the peak memory of a run over a file of that size. Prints ratios, writes JSON to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson

from transforms.sql_on_fhir import NdjsonFiles, compile_view, run_view

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).resolve().parent / "results" / "sql_on_fhir.json"
SAMPLE = 2_000
SMALL = 100_000


def view(resource: str, **columns: tuple[str, str]) -> dict[str, Any]:
    """A view of seven columns: name → (path, type)."""
    listed = [{"name": name, "path": path, "type": kind} for name, (path, kind) in columns.items()]
    return {"resourceType": "ViewDefinition", "resource": resource, "status": "active", "select": [{"column": listed}]}


VIEWS = {
    "Observation": view(
        "Observation",
        id=("getResourceKey()", "string"),
        status=("status", "code"),
        code=("code.coding.first().code", "code"),
        patient=("subject.getReferenceKey(Patient)", "string"),
        effective=("effective.ofType(dateTime)", "dateTime"),
        value=("value.ofType(Quantity).value", "decimal"),
        unit=("value.ofType(Quantity).unit", "string"),
    ),
    "Encounter": view(
        "Encounter",
        id=("getResourceKey()", "string"),
        status=("status", "code"),
        class_code=("class.code", "code"),
        type_code=("type.first().coding.first().code", "code"),
        patient=("subject.getReferenceKey(Patient)", "string"),
        started=("period.start", "dateTime"),
        ended=("period.end", "dateTime"),
    ),
}

# The fastest SQL that we can write for the same rows: it trusts the file, whatever a line holds.
HAND_WRITTEN = {
    "Observation": """
        SELECT 'Observation/' || id AS id, status, code.coding[1].code AS code,
               CASE WHEN starts_with(subject.reference, 'Patient/') THEN subject.reference END AS patient,
               effectiveDateTime AS effective,
               CAST(TRY_CAST(valueQuantity.value AS DECIMAL(18, 9)) AS DECIMAL(38, 18)) AS value,
               valueQuantity.unit AS unit
        FROM read_ndjson('{file}', columns = {{resourceType: 'VARCHAR', id: 'VARCHAR', status: 'VARCHAR',
             code: 'STRUCT(coding STRUCT(code VARCHAR)[])', subject: 'STRUCT(reference VARCHAR)',
             effectiveDateTime: 'VARCHAR', valueQuantity: 'STRUCT("value" VARCHAR, unit VARCHAR)'}})
        WHERE resourceType = 'Observation'""",
    "Encounter": """
        SELECT 'Encounter/' || id AS id, status, "class".code AS class_code, "type"[1].coding[1].code AS type_code,
               CASE WHEN starts_with(subject.reference, 'Patient/') THEN subject.reference END AS patient,
               period.start AS started, period."end" AS ended
        FROM read_ndjson('{file}', columns = {{resourceType: 'VARCHAR', id: 'VARCHAR', status: 'VARCHAR',
             "class": 'STRUCT(code VARCHAR)', "type": 'STRUCT(coding STRUCT(code VARCHAR)[])[]',
             subject: 'STRUCT(reference VARCHAR)', period: 'STRUCT("start" VARCHAR, "end" VARCHAR)'}})
        WHERE resourceType = 'Encounter'""",
}
JSON_PATHS = {
    "Observation": """
        SELECT 'Observation/' || (json ->> '$.id') AS id, json ->> '$.status' AS status,
               json ->> '$.code.coding[0].code' AS code,
               CASE WHEN starts_with(json ->> '$.subject.reference', 'Patient/')
                    THEN json ->> '$.subject.reference' END AS patient,
               json ->> '$.effectiveDateTime' AS effective,
               CAST(TRY_CAST(json ->> '$.valueQuantity.value' AS DECIMAL(18, 9)) AS DECIMAL(38, 18)) AS value,
               json ->> '$.valueQuantity.unit' AS unit
        FROM read_ndjson_objects('{file}') WHERE (json ->> '$.resourceType') = 'Observation'""",
    "Encounter": """
        SELECT 'Encounter/' || (json ->> '$.id') AS id, json ->> '$.status' AS status,
               json ->> '$.class.code' AS class_code, json ->> '$.type[0].coding[0].code' AS type_code,
               CASE WHEN starts_with(json ->> '$.subject.reference', 'Patient/')
                    THEN json ->> '$.subject.reference' END AS patient,
               json ->> '$.period.start' AS started, json ->> '$.period.end' AS ended
        FROM read_ndjson_objects('{file}') WHERE (json ->> '$.resourceType') = 'Encounter'""",
}


def generated(people: int, folder: Path) -> None:
    """NDJSON of the sandbox's made-up people, a file a type."""
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "generate",
        "--people",
        str(people),
        "--seed",
        "4",
        "--out",
        str(folder),
    ]
    options = ["--plain", "--broken-share", "0", "--progress", "none"]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)


def rate(count: int, work: Callable[[], object]) -> float:
    """Resources a second."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def measured(resource: str, file: Path, rounds: int) -> dict[str, Any]:
    """The rates of all contenders over one file."""
    definition = VIEWS[resource]
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    bare = f"SELECT count(*) FROM read_ndjson_objects('{file}')"
    count = connection.sql(bare).fetchall()[0][0]
    statements = {
        "hand-written SQL": HAND_WRITTEN[resource].format(file=file),
        "json-path SQL": JSON_PATHS[resource].format(file=file),
        "this compiler, SQL of the strict reader": compile_view(definition, NdjsonFiles.of(file, strict=True)),
        "this compiler, SQL of the forgiving reader": compile_view(definition, file),
    }
    agree(connection, statements)
    contenders: dict[str, Callable[[], object]] = {
        "bare count": lambda: connection.sql(bare).fetchall(),
        "this compiler, run_view": lambda: run_view(definition, file, connection),
    }
    for name, statement in statements.items():
        contenders[name] = lambda statement=statement: connection.sql(statement).to_arrow_table()  # type: ignore[misc]
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(rounds * (5 if count < SMALL else 1)):
        for name, work in contenders.items():
            best[name] = max(best[name], rate(count, work))
    with file.open("rb") as lines:
        sample = [orjson.loads(line) for line, _ in zip(lines, range(SAMPLE), strict=False)]
    best |= rivals(definition, sample)
    return {
        "resources": count,
        "bytes": file.stat().st_size,
        "per_second": {name: round(r) for name, r in best.items()},
    }


def agree(connection: duckdb.DuckDBPyConnection, statements: dict[str, str]) -> None:
    """All statements give the same rows, whatever their order."""
    prints = {
        name: connection.sql(f"SELECT count(*), sum(hash(t)) FROM ({statement}) AS t").fetchall()
        for name, statement in statements.items()
    }
    assert len({str(value) for value in prints.values()}) == 1, prints


def rivals(definition: dict[str, Any], sample: list[dict[str, Any]]) -> dict[str, float]:
    """The Python runners that load on this machine, over a sample: they take a time that grows with the input."""
    found = {}
    if importlib.util.find_spec("sqlonfhir"):
        import sqlonfhir

        found["sqlonfhir"] = rate(len(sample), lambda: sqlonfhir.evaluate(sample, definition))
    try:
        import pysof
    except (ImportError, OSError):
        return found
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": entry} for entry in sample]}
    found["pysof"] = rate(len(sample), lambda: pysof.run_view_definition(definition, bundle, "json"))
    return found


def peak_memory(file: Path, gigabytes: float, folder: Path) -> dict[str, float]:
    """Megabytes that a process of its own reaches with run_view over a file of that size."""
    large = folder / "large.ndjson"
    with large.open("wb") as out:
        while out.tell() < gigabytes * 1e9:
            out.write(file.read_bytes())
    (folder / "view.json").write_text(json.dumps(VIEWS["Observation"]))
    program = (
        "import json, resource, sys; from transforms.sql_on_fhir import run_view; "
        "rows = run_view(json.load(open(sys.argv[1])), sys.argv[2]).num_rows; "
        "print(json.dumps([rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))"
    )
    command = [sys.executable, "-c", program, str(folder / "view.json"), str(large)]
    rows, peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"gigabytes": gigabytes, "rows": rows, "peak_megabytes": round(peak)}


def ratios(figures: dict[str, float]) -> dict[str, float]:
    """This compiler against each other contender."""
    ours = figures["this compiler, run_view"]
    found = {f"run_view / {name}": ours / r for name, r in figures.items() if not name.startswith("this compiler")}
    strict = figures["this compiler, SQL of the strict reader"]
    forgiving = figures["this compiler, SQL of the forgiving reader"]
    found["strict SQL / hand-written SQL"] = strict / figures["hand-written SQL"]
    found["forgiving SQL / json-path SQL"] = forgiving / figures["json-path SQL"]
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=0)
    options = parser.parse_args()
    results: dict[str, Any] = {"duckdb": duckdb.__version__, "pysof": importlib.util.find_spec("pysof") is not None}
    with tempfile.TemporaryDirectory(prefix="sql-on-fhir-") as name:
        folder = Path(name)
        generated(options.people, folder)
        for resource in VIEWS:
            found = measured(resource, folder / f"{resource}.ndjson", options.rounds)
            found["ratios"] = ratios(found["per_second"])
            results[resource] = found
            print(f"\n{resource}: {found['resources']:,} resources, {found['bytes'] / 1e6:,.0f} MB, 7 columns")
            for contender, speed in sorted(found["per_second"].items(), key=lambda entry: -entry[1]):
                print(f"  {contender:44} {speed:>12,}/s")
            for pair, ratio in found["ratios"].items():
                print(f"  {pair:44} {ratio:>12,.2f}")
        if options.gigabytes:
            results["memory"] = peak_memory(folder / "Observation.ndjson", options.gigabytes, folder)
            print(f"\nmemory: {results['memory']}")
    if not results["pysof"]:
        print("\npysof does not load on this machine (it needs glibc 2.38): not measured")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
