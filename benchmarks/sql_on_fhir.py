"""SQL on FHIR on DuckDB: this compiler against SQL by hand, JSON-path SQL, `sqlonfhir` and, where it loads, `pysof`.

    python -m benchmarks.sql_on_fhir [--people 1200] [--encounters 200000] [--data DIR] [--rounds 9] [--gigabytes 0]

One run, one input (the sandbox's made-up people: some 240 Observations and 18 Encounters each), the same columns. The
contenders of DuckDB take turns, forwards and backwards, so that what else the machine does hits all. A rate is of the
best round; a ratio is given three times: of the best rounds, the median of round by round, and of the processor's time.
Rows are compared first. Observations and Encounters run against everyone: the Encounters of those people, a file of
some 27 MB, and those of so many more people that there are at least `--encounters`. Other views of seven columns (with
forEach, with where) run against SQL by hand. `--gigabytes 2` adds the peak memory of runs over files of that size.
`--data` takes a folder of NDJSON, a file a type, in place of the made-up people. Prints ratios, writes JSON to
benchmarks/results/.

`pysof` needs glibc 2.38 (Debian 13, Ubuntu 24.04) and so stands in no lock: `.venv/bin/uv pip install pysof`, and it is
measured too.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson

from benchmarks.contenders import HAND_WRITTEN, HEADLINE, JSON_PATHS, VIEWS
from transforms.sql_on_fhir import NdjsonFiles, compile_view, run_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RESULTS = Path(__file__).resolve().parent / "results" / "sql_on_fhir.json"
SAMPLE = 2_000
SEED = 4
SMALL = 100_000
TURNS_OF_SMALL = 5

OURS = "this compiler, run_view"
GIVEN = "this compiler, run_view in a connection given to it"
RESOURCES = "this compiler, run_view of dicts"
STRICT = "this compiler, SQL of the strict reader"
FORGIVING = "this compiler, SQL of the forgiving reader"
BY_HAND = "SQL by hand"
BY_PATH = "JSON-path SQL"
BARE = "bare count"
PYSOF = "pysof, file to file"
PYSOF_DICTS = "pysof of dicts"
ROUNDS_OF_PYSOF = 3


@dataclass
class Turns:
    """Seconds of the rounds of one contender: on the clock, and of the processor."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], object]) -> None:
        """One more round."""
        spent, started = _processor(), time.perf_counter()
        work()
        self.wall.append(time.perf_counter() - started)
        self.processor.append(_processor() - spent)


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def generated(people: int, folder: Path, *, seed: int = SEED) -> None:
    """NDJSON of the sandbox's made-up people, a file a type."""
    who = ["--people", str(people), "--seed", str(seed), "--out", str(folder)]
    how = ["--plain", "--broken-share", "0", "--progress", "none"]
    subprocess.run([sys.executable, "-m", "sandbox", "generate", *who, *how], check=True, stdout=subprocess.DEVNULL)


def many_encounters(wanted: int, people: int, folder: Path) -> Path:
    """A file of at least so many Encounters: of the people that `folder` holds, and of as many again and again."""
    joined = folder / "many" / "Encounter.ndjson"
    joined.parent.mkdir()
    made, seed, part = 0, SEED, folder
    with joined.open("wb") as out:
        while True:
            lines = (part / joined.name).read_bytes()
            out.write(lines)
            made += lines.count(b"\n")
            if made >= wanted:
                return joined
            seed += 1
            part = folder / "more"
            generated(people, part, seed=seed)


def measured(name: str, file: Path, rounds: int) -> dict[str, Any]:
    """Rates and ratios of all contenders for one view over one file."""
    definition = VIEWS[name]
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        bare = f"SELECT count(*) FROM read_ndjson_objects('{file}')"
        count = connection.sql(bare).fetchall()[0][0]
        statements = {
            BY_HAND: HAND_WRITTEN[name].format(file=file),
            STRICT: compile_view(definition, NdjsonFiles.of(file, strict=True)),
            FORGIVING: compile_view(definition, file),
        }
        if name in HEADLINE:
            statements[BY_PATH] = JSON_PATHS[name].format(file=file)
        agree(connection, statements)
        contenders: dict[str, Callable[[], object]] = {
            BARE: lambda: connection.sql(bare).fetchall(),
            OURS: lambda: run_view(definition, file),
            GIVEN: lambda: run_view(definition, file, connection),
        }
        for contender, statement in statements.items():
            contenders[contender] = lambda statement=statement: connection.sql(statement).to_arrow_table()  # type: ignore[misc]
        turns = in_turns(contenders, rounds * (TURNS_OF_SMALL if count < SMALL else 1))
    if name in HEADLINE:
        turns |= rivals(name, file, count)
    return {
        "resources": count,
        "bytes": file.stat().st_size,
        "per_second": {contender: round(count / min(turn.wall)) for contender, turn in turns.items()},
        "processor_seconds": {contender: round(min(turn.processor), 4) for contender, turn in turns.items()},
        "ratios": dict(ratios(turns)),
    }


def in_turns(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, Turns]:
    """Every contender once a round, after one round that does not count; every other round backwards."""
    turns = {contender: Turns() for contender in contenders}
    for work in contenders.values():
        work()
    for i in range(rounds):
        for contender in list(contenders)[:: 1 if i % 2 else -1]:
            turns[contender].run(contenders[contender])
    return turns


def agree(connection: duckdb.DuckDBPyConnection, statements: dict[str, str]) -> None:
    """All statements give the same rows, whatever their order."""
    prints = {
        name: connection.sql(f"SELECT count(*), sum(hash(t)) FROM ({statement}) AS t").fetchall()
        for name, statement in statements.items()
    }
    assert len({str(value) for value in prints.values()}) == 1, prints


# -- the runners of Python ---------------------------------------------------------------------------------------------


def rivals(name: str, file: Path, count: int) -> dict[str, Turns]:
    """The Python runners that load on this machine, at the time that they would take for all resources.

    `sqlonfhir` runs over a sample of dicts, and so do `pysof` and this compiler once; `pysof` also over the whole file.
    All must give the same rows for the sample.
    """
    definition = VIEWS[name]
    with file.open("rb") as lines:
        sample = [orjson.loads(line) for line, _ in zip(lines, range(SAMPLE), strict=False)]
    ours = rows_of(definition, run_view(definition, sample).to_pylist())
    found = {RESOURCES: scaled(lambda: run_view(definition, sample), count / len(sample))}
    if importlib.util.find_spec("sqlonfhir"):
        import sqlonfhir

        assert rows_of(definition, sqlonfhir.evaluate(sample, definition)) == ours, "sqlonfhir: other rows"
        found["sqlonfhir"] = scaled(lambda: sqlonfhir.evaluate(sample, definition), count / len(sample))
    try:
        import pysof
    except (ImportError, OSError):
        return found
    text, bundle = json.dumps(definition), {"resourceType": "Bundle", "type": "collection"}
    bundle["entry"] = [{"resource": resource} for resource in sample]
    theirs = pysof.run_view_definition(text, json.dumps(bundle), "ndjson").decode().splitlines()
    assert rows_of(definition, (json.loads(line, parse_float=Decimal) for line in theirs)) == ours, "pysof: other rows"
    memory = lambda: pysof.run_view_definition(definition, bundle, "json")  # noqa: E731
    found[PYSOF_DICTS] = scaled(memory, count / len(sample))
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "rows.ndjson")
        whole = found[PYSOF] = Turns()
        for _ in range(ROUNDS_OF_PYSOF):
            whole.run(lambda: pysof.process_ndjson_to_file(text, str(file), out, "ndjson"))
    return found


def rows_of(definition: dict[str, Any], rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows to be compared by what they mean.

    A runner may leave out what is not there, give keys without the type in front, and write a number as a text.
    """
    types = {column["name"]: column["type"] for part in definition["select"] for column in part["column"]}

    def meant(name: str, value: Any) -> Any:
        if types[name] == "decimal":
            return Decimal(str(value))
        return value.removeprefix(f"{definition['resource']}/").removeprefix("Patient/")

    return [{name: meant(name, value) for name, value in row.items() if value is not None} for row in rows]


def scaled(work: Callable[[], object], factor: float) -> Turns:
    """The best of three rounds, at so many times its size."""
    turns = in_turns({"": work}, 3)[""]
    return Turns([seconds * factor for seconds in turns.wall], [seconds * factor for seconds in turns.processor])


# -- ratios and memory -------------------------------------------------------------------------------------------------


def ratios(turns: dict[str, Turns]) -> Iterable[tuple[str, dict[str, float]]]:
    """How fast one contender is, in parts of another."""
    pairs = [(OURS, other) for other in turns if not other.startswith("this compiler")]
    pairs += [(GIVEN, BARE), (STRICT, BY_HAND), (FORGIVING, BY_PATH), (RESOURCES, PYSOF_DICTS), (BY_HAND, PYSOF)]
    pairs = [pair for pair in pairs if set(pair) <= set(turns)]
    for ours, other in pairs:
        a, b = turns[ours], turns[other]
        in_turn = len(a.wall) == len(b.wall)
        theirs = b.wall if in_turn else [statistics.median(b.wall)] * len(a.wall)
        by_round = [y / x for x, y in zip(a.wall, theirs, strict=True)]
        yield (
            f"{ours.removeprefix('this compiler, ')} / {other}",
            {
                "best": round(min(b.wall) / min(a.wall), 2),
                "median": round(statistics.median(by_round), 2),
                "processor": round(min(b.processor) / min(a.processor), 2),
            },
        )


def peak_memory(file: Path, gigabytes: float, folder: Path) -> dict[str, float]:
    """Megabytes that processes of their own reach over a file of that size: as a table, to a file, from gzip."""
    large, packed = folder / "large.ndjson", folder / "large.ndjson.gz"
    with large.open("wb") as out:
        while out.tell() < gigabytes * 1e9:
            with file.open("rb") as part:
                shutil.copyfileobj(part, out)
    with large.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as out_packed:
        shutil.copyfileobj(plain, out_packed)
    peaks = {"gigabytes": gigabytes}
    for name in ("Observation", "Observation, a row a component"):
        (folder / "view.json").write_text(json.dumps(VIEWS[name]))
        for title, call in (
            ("run_view", "run_view(view, source)"),
            ("write_view", "write_view(view, source, Path(out))"),
        ):
            for source in (large, packed):
                program = (
                    "import json, resource, sys; from pathlib import Path; "
                    "from transforms.sql_on_fhir import run_view, write_view; "
                    f"view, source, out = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]; {call}; "
                    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
                )
                command = [
                    sys.executable,
                    "-c",
                    program,
                    str(folder / "view.json"),
                    str(source),
                    str(folder / "o.parquet"),
                ]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                peaks[f"{name}: {title}, {source.suffix}"] = round(float(done.stdout))
    return peaks


def report(name: str, found: dict[str, Any]) -> None:
    """Print what was found for a view."""
    print(f"\n{name}: {found['resources']:,} resources, {found['bytes'] / 1e6:,.0f} MB, 7 columns")
    if BY_PATH in found["per_second"]:
        for contender, speed in sorted(found["per_second"].items(), key=lambda entry: -entry[1]):
            print(f"  {contender:58} {speed:>12,}/s")
    print(f"  {'ratio':58} {'best':>10} {'median':>10} {'processor':>10}")
    for pair, ratio in found["ratios"].items():
        print(f"  {pair:58} {ratio['best']:>10,.2f} {ratio['median']:>10,.2f} {ratio['processor']:>10,.2f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_200)
    parser.add_argument("--encounters", type=int, default=200_000)
    parser.add_argument("--data", type=Path, help="a folder of NDJSON, a file a type, in place of made-up people")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--gigabytes", type=float, default=0)
    options = parser.parse_args()
    results: dict[str, Any] = {"duckdb": duckdb.__version__, "pysof": importlib.util.find_spec("pysof") is not None}
    with tempfile.TemporaryDirectory(prefix="sql-on-fhir-") as name:
        folder = options.data or Path(name)
        if options.data is None:
            generated(options.people, folder)
        for title, definition in VIEWS.items():
            results[title] = measured(title, folder / f"{definition['resource']}.ndjson", options.rounds)
            report(title, results[title])
        if options.data is None:
            joined = many_encounters(options.encounters, options.people, folder)
            results["Encounter, many"] = measured("Encounter", joined, options.rounds)
            report("Encounter, many", results["Encounter, many"])
        if options.gigabytes:
            results["memory"] = peak_memory(folder / "Observation.ndjson", options.gigabytes, Path(name))
            print(f"\npeak memory in MB: {json.dumps(results['memory'], indent=1)}")
    if not results["pysof"]:
        print("\npysof is not installed here (it needs glibc 2.38): not measured")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
