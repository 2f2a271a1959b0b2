"""What the records call a thing, and who explains it: MedlinePlus Connect, of the National Library of Medicine.

The address names a code and its system alone (HL7 Context-aware Knowledge Retrieval, Infobutton, URL-based
implementation): https://medlineplus.gov/medlineplus-connect/web-application/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from transforms.coach import telling
from transforms.coach.matching import codes_of, is_of, matching, question
from transforms.coach.results import Coding, Explanation, Term
from transforms.coach.searching import CATEGORIES, KIND_OF, looked_for, meanings
from transforms.coach.vocabulary import addresses

if TYPE_CHECKING:
    from transforms.coach.facts import PersonRecords, Row

CONNECT: Final = "https://connect.medlineplus.gov/application"
OIDS: Final = {
    "icd10": "2.16.840.1.113883.6.90",
    "icd9": "2.16.840.1.113883.6.103",
    "snomed": "2.16.840.1.113883.6.96",
    "rxnorm": "2.16.840.1.113883.6.88",
    "ndc": "2.16.840.1.113883.6.69",
    "loinc": "2.16.840.1.113883.6.1",
    "cpt": "2.16.840.1.113883.6.12",
}
"""Code systems that MedlinePlus Connect answers for: problems, drugs, tests, procedures."""
MOST: Final = 10


def explain(records: PersonRecords, name: str) -> Explanation:
    """Terms of the records that go by a name: what they are called there, and where a public library explains them."""
    asked = question(name, (), ("loinc",))
    meant = meanings(name)
    rows = [row for row in records.of(*CATEGORIES) if row.is_said]
    found = [row for row in rows if any(KIND_OF.get(row.table) == each.kind and is_of(row, each) for each in meant)]
    found = matching(rows, asked) if asked.codes else found or matching(rows, asked)
    told = looked_for(asked, meant)
    by_code: dict[str, list[Row]] = {}
    for row in found:
        by_code.setdefault(best_code(row) or telling.name_of(row), []).append(row)
    terms = [_term(several) for several in by_code.values()]
    terms.sort(key=lambda term: (-term.entries, term.display))
    return Explanation(found=bool(terms), looked_for=told, terms=terms[:MOST])


def best_code(row: Row) -> str | None:
    """The code of a row by which a library knows it, as `system|code`."""
    codes = codes_of(row)
    ranked = [code for system in OIDS for code in sorted(codes) if code.startswith(f"{system}|")]
    own = {code for code in ranked if row.code and code.endswith(f"|{row.code}")}
    return next((code for code in ranked if code in own), ranked[0] if ranked else None)


def medline_plus(code: str, display: str) -> str:
    """The address at MedlinePlus Connect for `system|code`. The display is that of the code, no words of a person's."""
    system, _, value = code.partition("|")
    given = {
        "mainSearchCriteria.v.cs": OIDS[system],
        "mainSearchCriteria.v.c": value,
        "mainSearchCriteria.v.dn": display,
        "informationRecipient.languageCode.c": "en",
    }
    return f"{CONNECT}?{urlencode({key: each for key, each in given.items() if each})}"


def _term(rows: list[Row]) -> Term:
    groups = telling.newest_first(telling.folded(rows))
    row = groups[0][0]
    code = best_code(row)
    system, _, value = (code or "").partition("|")
    # What a code means is public; what its sender typed is not, and stays here.
    display = next((each.display for each in row.codings if each.code == value and each.display), row.display) or ""
    return Term(
        display=telling.name_of(row),
        coding=Coding(system=addresses()[system], code=value, display=display or None) if code else None,
        categories=[name for name in CATEGORIES if any(each.table == name for each in rows)],
        entries=len(groups),
        latest=telling.when(row),
        medline_plus_url=medline_plus(code, "" if system == "ndc" else display) if code else None,
    )
