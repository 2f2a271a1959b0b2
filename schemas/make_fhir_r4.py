"""Generate `schemas/fhir_r4.json.gz`, the project's own table of FHIR R4, from HL7's definitions (CC0).

    python -m schemas.make_fhir_r4 [DEFINITIONS.json.gz] [OUTPUT.json.gz]

The table holds, for each of the types and resources of 4.0.1, its elements in the order of the definition. Inherited
elements are already there. An element is `[min, max, types]` with, where it has any, a fourth member: a mapping of
`targets` (types that a Reference may point at), `codes` (the required value set, by its URL in `codes` of the table)
and `same_as` (the element whose content it repeats). `max` is 1, 0, or -1 for no limit. Paths are relative to the type
(`contact.name`), and a choice keeps its mark (`value[x]`). The file is the same byte for byte on every run.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEFINITIONS = HERE.parent.parent / "shared" / "facts" / "r4_definitions.json.gz"
OUTPUT = HERE / "fhir_r4.json.gz"
SYSTEM_STRING = "http://hl7.org/fhirpath/System.String"


def element(definition: dict[str, Any]) -> list[Any]:
    """One element of the table."""
    most = definition["max"]
    types = ["string" if name == SYSTEM_STRING else name for name in definition.get("types", [])]
    row: list[Any] = [definition["min"], -1 if most == "*" else int(most), types]
    more = {
        "targets": definition.get("targets"),
        "codes": definition.get("value_set"),
        "same_as": definition.get("same_as", "").partition(".")[2],
    }
    kept = {key: value for key, value in more.items() if value}
    return [*row, kept] if kept else row


def table(definitions: dict[str, Any]) -> dict[str, Any]:
    """The whole table, from the definitions as published."""
    types = {}
    for group in ("types", "resources"):
        for name, definition in definitions[group].items():
            if definition["kind"] == "logical":
                continue
            types[name] = {
                "kind": definition["kind"],
                "base": definition["base"],
                "abstract": definition["abstract"],
                "elements": {
                    path.partition(".")[2]: element(entry)
                    for path, entry in definition["elements"].items()
                    if "." in path
                },
            }
    return {
        "version": "4.0.1",
        "source": definitions["source"],
        "types": types,
        "codes": definitions["value_sets"],
        "patient_search": definitions["patient_search_params"],
    }


def pack(content: dict[str, Any]) -> bytes:
    """Gzipped JSON without a time stamp or a file name in it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return gzip.compress(text, compresslevel=9, mtime=0)


def main(arguments: list[str]) -> None:
    """Read the definitions, write the table."""
    source = Path(arguments[0]) if arguments else DEFINITIONS
    output = Path(arguments[1]) if len(arguments) > 1 else OUTPUT
    with gzip.open(source, "rb") as stream:
        definitions = json.load(stream)
    content = table(definitions)
    output.write_bytes(pack(content))
    sys.stdout.write(f"{output.name}: {len(content['types'])} types\n")


if __name__ == "__main__":
    main(sys.argv[1:])
