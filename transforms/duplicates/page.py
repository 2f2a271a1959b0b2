"""`docs/duplicates.md`, from the declarations alone."""

from __future__ import annotations

from typing import Final

from transforms.duplicates.best import CRITERIA
from transforms.duplicates.concepts import Agreement
from transforms.duplicates.facts import all_keys
from transforms.duplicates.groups import REPEATED
from transforms.duplicates.moments import Apart
from transforms.duplicates.vocabulary import content, vocabulary

_AGREEMENTS: Final = {
    Agreement.SAME_CODE: "They share a code.",
    Agreement.SAME_CONCEPT: "Their codes or names stand for one matter: of another system, method, level of RxNorm.",
    Agreement.SAME_NAME: "They are called the same, but for forms of speech.",
    Agreement.ALIKE: "Half of what the shorter name says stands in the other (three quarters within one code system).",
    Agreement.UNKNOWN: "One has codes alone and the other words alone, or a code of another system.",
}
_TIMES: Final = {
    Apart.SAME_MOMENT: "Within a minute.",
    Apart.SAME_HOUR: "Within an hour.",
    Apart.DAY_ONLY: "One is known to the day alone (or stands at midnight): the other's day, its own or that of UTC.",
    Apart.ZONE: "Whole quarters of an hour apart, 14 hours at most: one of them lost its zone.",
    Apart.SAME_DAY: "On one day.",
    Apart.NEXT_DAY: "A day apart.",
    Apart.WEEK: "A week apart, or less.",
    Apart.COARSE: "One is a month or year in which the other lies; of conditions, which last: at any time.",
}
_HEAD: Final = """\
# Duplicates

Generated from `schemas/duplicates/*.json` by `python -m transforms.duplicates`; a test compares it.

What several links hold of one record, and what one link sent twice, is told in the table `duplicates`: a row for
each row of the ten tables that is in a group, with its rank there. No row of a table is changed or left out.
`<table>_best` is a table without its duplicates: of each group the best row, with `duplicate_group`, `group_rows`
and `best_because`.

Rows are compared within one person and table, when the person's tables are built; nobody's rows are ever compared
with anybody else's. Of one link a group has one row, but for what that link sent twice: what a provider tells apart
stays apart, however alike it is. Whoever is in a group matches everyone in it. The surest pairs are joined first,
then the nearest in time; what is merely alike is looked at last, among the rows that are left. What was entered in
error is in no group, and what says that something is not so is never grouped with what says that it is.

## What is one record
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, "| table | what is one record |", "|---|---|"]
    parts += [f"| `{keys.table}` | {keys.about} |" for keys in all_keys()]
    parts += [
        "",
        "A side (left, right), a number (type 2, stage 3), a specimen, a fraction (HDL, LDL), a history, a family or a"
        " suspicion that only one of two records names, or names otherwise, keeps them apart.",
        "",
        "## Why a row is in its group",
        "",
        "`matched_by` names how far the matter agrees, and the time: `same-concept, day-only`. `same-record` is one id"
        f" at one provider, or a long id at two; `{REPEATED}` is what its own link sent before.",
        "",
        "| the matter | |",
        "|---|---|",
        *(f"| `{_said(each)}` | {about} |" for each, about in _AGREEMENTS.items()),
        "",
        "| the time | |",
        "|---|---|",
        *(f"| `{_said(each)}` | {about} |" for each, about in _TIMES.items()),
        "",
        "## Which row is the best",
        "",
        "Rows of a group are compared by these in turn; `better_by` names the first that tells a row from the next.",
        "",
        "| table | in the order |",
        "|---|---|",
        *(f"| `{keys.table}` | {', '.join(keys.best)} |" for keys in all_keys()),
        "",
        "| criterion | the better row |",
        "|---|---|",
        *(f"| `{name}` | {about} |" for name, about in CRITERIA.items()),
        "",
        "## What is known",
        "",
        f"{len(content('concepts')['concepts'])} matters by the codes of several systems (`concepts.json`),"
        f" {len(content('vaccines')['groups'])} groups of vaccines by CVX, NDC, CPT and name (`vaccines.json`),"
        f" {len(vocabulary().brands)} brands by their ingredients (`drugs.json`), and the analytes of"
        " [values.md](values.md) by LOINC code. A code that is in none of them is compared by its words. Another matter"
        " or brand is a line there; the next night compares everyone anew.",
        "",
    ]
    return "\n".join(parts)


def _said(each: Agreement | Apart) -> str:
    return each.name.lower().replace("_", "-")
