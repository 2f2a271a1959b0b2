"""`python -m transforms.tables`: write what is generated from the declarations of the tables; `--check` compares it.

A change of the schema that breaks queries is refused until `SCHEMA_VERSION` is raised (`transforms.tables.version`).
"""

import argparse
import json
import sys
from pathlib import Path

from transforms.tables import dictionary_json, dictionary_markdown, must_support_markdown, sources_yaml, view_files
from transforms.tables.schema_lock import lock_text, refusals, schema_data

ROOT = Path(__file__).parents[2]
VIEWS = ROOT / "schemas" / "views"
LOCK = ROOT / "schemas" / "tables.lock.json"


def generated() -> dict[Path, str]:
    """Every file that is generated, the lock among them, and its text."""
    files = {VIEWS / name: text for name, text in view_files().items()}
    return files | {
        ROOT / "docs" / "must_support.md": must_support_markdown(),
        ROOT / "docs" / "dictionary.md": dictionary_markdown(),
        ROOT / "schemas" / "dictionary.json": dictionary_json(),
        ROOT / "schemas" / "sources.yml": sources_yaml(),
        LOCK: lock_text(schema_data()),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write, or compare. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m transforms.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="Compare alone.")
    check = parser.parse_args(arguments).check
    locked = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {"version": 0, "tables": {}}
    refused = refusals(locked, schema_data())
    for change in refused:
        sys.stderr.write(f"breaks queries: {change}\n")
    if refused:
        sys.stderr.write("Raise SCHEMA_VERSION (transforms/tables/version.py), and say in CHANGELOG.md what changed.\n")
        return 1
    files = generated()
    stale = sorted(set(VIEWS.glob("*.json")) - files.keys())
    if check:
        old = [file for file, text in files.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
        for file in (*stale, *old):
            sys.stderr.write(f"not as declared: {file.relative_to(ROOT)} (run: python -m transforms.tables)\n")
        return 1 if stale or old else 0
    for file in stale:
        file.unlink()
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
