"""How near the records are: a small question by `charthouse sql`, against DuckDB alone on the same lake.

    python -m benchmarks.nearness [--times 5]

Processor seconds of whole processes, the least of several each. The figure to read is the ratio: DuckDB alone imports
`duckdb`, loads the same three extensions unchecked, attaches the lake and asks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "SELECT count(*) FROM conditions"
ALONE = """
import sys, duckdb
from pathlib import Path
home, question = sys.argv[1:]
connection = duckdb.connect(config={"allow_unsigned_extensions": True})
for name in ("httpfs", "sqlite_scanner", "ducklake"):
    module = __import__(f"duckdb_extension_{name}")
    [file] = Path(module.__path__[0]).glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension")
    connection.execute(f"LOAD '{file}'")
connection.execute(f"ATTACH 'ducklake:sqlite:{home}/records/catalog.sqlite' AS records (READ_ONLY); USE records")
print(connection.execute(question).fetchall())
"""


def _seconds(command: list[str], environment: dict[str, str], times: int) -> float:
    """The least processor seconds of a process, of several runs."""
    least = float("inf")
    for _ in range(times):
        with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        least = min(least, used.ru_utime + used.ru_stime)
    return least


def main() -> None:
    """Ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"CHARTHOUSE_HOME": folder}
        ours = [sys.executable, "-m", "charthouse"]
        subprocess.run([*ours, "init"], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        asked = {
            "DuckDB alone": [sys.executable, "-c", ALONE, folder, QUESTION],
            "charthouse sql": [*ours, "sql", "--format", "csv", QUESTION],
            "charthouse --version": [*ours, "--version"],
        }
        taken = {name: _seconds(command, environment, times) for name, command in asked.items()}
    for name, seconds in taken.items():
        print(f"{name:22} {seconds:6.3f} s of processor   {seconds / taken['DuckDB alone']:5.2f}")


if __name__ == "__main__":
    main()
