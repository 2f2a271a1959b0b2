"""The night, measured: what follows the fetch against the fetch, peak memory, and how long the DAG files take to parse.

    python -m benchmarks.night [--resources 200000]

Everything runs on one machine in one run, so the figures to read are the ratios. Writes benchmarks/results/night.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "night.json"
PER_PERSON = 430  # resources that the generator writes for a person, about
AFTER_LANDING = ("check", "store", "build", "audit", "publish")


class Memory(threading.Thread):
    """The memory of the process that runs the DAG, of all it starts and of the one that audits, ten times a second.

    Shared pages count once.
    """

    def __init__(self, parent: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.parent = parent
        self.samples: list[tuple[float, int]] = []

    def run(self) -> None:
        while self.parent.is_running() and self.parent.status() != psutil.STATUS_ZOMBIE:
            family = set()
            for process in self.parent.children(recursive=True):
                with suppress(psutil.Error):
                    command = process.cmdline()
                    if "transforms.auditing.service" in command or {"dags", "test"} <= set(command):
                        family |= {process, *process.children(recursive=True)}
            with suppress(psutil.Error):
                self.samples.append((time.time(), sum(each.memory_full_info().pss for each in family)))
            time.sleep(0.1)

    def peak(self, since: float = 0, until: float = math.inf) -> int:
        """The most between two instants, in MiB; 0 without a sample."""
        return round(max((size for at, size in self.samples if since <= at <= until), default=0) / 2**20)


def night(home: Path, people: int) -> tuple[dict, Memory]:
    """One night of made-up people. Returns its report and the memory that its Airflow processes took."""
    env = os.environ | {"CHARTHOUSE_HOME": str(home)}
    command = [sys.executable, "-m", "charthouse"]
    process = subprocess.Popen([*command, "nightly", "--people", str(people)], cwd=ROOT, env=env)
    memory = Memory(psutil.Process(process.pid))
    memory.start()
    assert process.wait() == 0
    said = subprocess.run([*command, "status", "--json"], cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return json.loads(said.stdout), memory


def parse_seconds() -> tuple[float, float]:
    """Seconds to import Airflow's SDK, and seconds to execute all DAG files behind that."""
    code = (
        "import time, runpy, pathlib; a = time.perf_counter(); import airflow.sdk; airflow.sdk.dag, airflow.sdk.Asset, "
        "airflow.sdk.AssetAlias, airflow.sdk.Param, airflow.sdk.task_group; b = time.perf_counter()\n"
        "[runpy.run_path(str(file)) for file in sorted(pathlib.Path('dags').glob('*.py'))]\n"
        "print(b - a, time.perf_counter() - b)"
    )
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"AIRFLOW_HOME": home}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=env, check=True, capture_output=True, text=True
        )
    sdk, files = done.stdout.split()[-2:]
    return float(sdk), float(files)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=200_000)
    wanted = parser.parse_args().resources
    with tempfile.TemporaryDirectory(prefix="charthouse-bench-") as folder:
        report, memory = night(Path(folder) / "home", max(1, wanted // PER_PERSON))
    windows = {
        stage["stage"]: [datetime.fromisoformat(stage[end]).timestamp() for end in ("started_at", "finished_at")]
        for stage in report["stages"]
    }
    seconds = {stage["stage"]: stage["wall_seconds"] for stage in report["stages"]}
    after = sum(seconds[stage] for stage in AFTER_LANDING)
    sdk, files = parse_seconds()
    result = {
        "resources": report["fetched"],
        "stage_seconds": {name: round(value, 2) for name, value in seconds.items()},
        "after_landing_to_fetch": round(after / seconds["fetch"], 3),
        "audit_to_build": round(report["audit_to_build"], 3),
        "peak_memory_mib": memory.peak(),
        "peak_memory_mib_by_stage": {name: memory.peak(*window) for name, window in windows.items()},
        "airflow_sdk_import_seconds": round(sdk, 2),
        "all_dag_files_seconds": round(files, 3),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
