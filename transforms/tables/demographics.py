"""What analysts may know of a person: year of birth, sex, death, state. Nothing that names them leaves this module.

A row a link: providers may disagree, and the view `people` shows both the answer and the disagreement. Every column is
a year, a yes or no, or one of a few known words; whatever else a sender put in its place is left out.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final

from transforms.tables.text import literal

PATIENT: Final = "Patient"
COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "birth_year": ("BIGINT", "The year of birth."),
    "sex": ("VARCHAR", "The administrative gender: male, female, other or unknown."),
    "birth_sex": ("VARCHAR", "The sex at birth, or for clinical use: male, female or unknown (US Core)."),
    "is_deceased": ("BOOLEAN", "Whether the provider says that the person died; NULL: it says nothing."),
    "death_year": ("BIGINT", "The year of death."),
    "state": ("VARCHAR", "The state or province of the home address, as a postal code; NULL: none that is known."),
    "last_updated": ("TIMESTAMPTZ", "When the provider last changed the person's details."),
}
_SPEC: Final = {
    "birthDate": "VARCHAR",
    "gender": "VARCHAR",
    "deceasedBoolean": "VARCHAR",
    "deceasedDateTime": "VARCHAR",
    "address": [{"use": "VARCHAR", "state": "VARCHAR", "period": {"end": "VARCHAR"}}],
    "extension": [{"url": "VARCHAR", "valueCode": "VARCHAR"}],
}
_SEX: Final = {
    "male": ("male", "m"),
    "female": ("female", "f"),
    "other": ("other", "oth", "o"),
    "unknown": ("unknown", "unk", "u", "asku"),
}
_BIRTH_SEX: Final = {
    "male": ("m", "male", "248153007"),
    "female": ("f", "female", "248152002"),
    "unknown": ("unk", "oth", "asku", "unknown", "asked-declined", "asked-unknown"),
}
_OF_BIRTH: Final = ("us-core-birthsex", "us-core-sex")
FIRST_YEAR: Final = 1850
"""Nobody who has an account was born before."""


def demographics_sql(source: str) -> str:
    """The SELECT of a row for each link that says who its person is: keys, then `COLUMNS`.

    Of several Patients of a link the one that was changed last counts.

    Args:
        source: a relation with `person_key, link_id, resource_type, resource_id, last_updated, resource`.
    """
    spec = literal(json.dumps(_SPEC))
    birth = ", ".join(
        f"list_filter(r.extension, lambda e: ends_with(e.url, {literal('/' + each)}))[1].valueCode"
        for each in _OF_BIRTH
    )
    current = (
        "list_filter(r.address, lambda a: a.state <> '' AND coalesce(a.use <> 'old', true) AND a.period.end IS NULL)"
    )
    home = f"coalesce(list_filter({current}, lambda a: a.use = 'home')[1], {current}[1]).state"
    return f"""SELECT person_key, link_id,
  {_year("r.birthDate")} AS birth_year,
  {_word("r.gender", _SEX)} AS sex,
  {_word(f"coalesce({birth})", _BIRTH_SEX)} AS birth_sex,
  CASE WHEN r.deceasedDateTime <> '' THEN true ELSE TRY_CAST(r.deceasedBoolean AS BOOLEAN) END AS is_deceased,
  {_year("r.deceasedDateTime")} AS death_year,
  {_state(home)} AS state,
  TRY_CAST(last_updated AS TIMESTAMPTZ) AS last_updated
FROM (
  SELECT person_key, link_id, resource_id, last_updated, unnest([TRY(from_json(resource, {spec}))]) AS r
  FROM {source} WHERE resource_type = {literal(PATIENT)}
)
QUALIFY row_number() OVER (
  PARTITION BY person_key, link_id ORDER BY TRY_CAST(last_updated AS TIMESTAMPTZ) DESC NULLS LAST, resource_id
) = 1
ORDER BY ALL"""


def _year(date: str) -> str:
    """The year of a FHIR date; NULL for what is none, or cannot be true."""
    year = rf"TRY_CAST(regexp_extract({date}, '^(\d{{4}})(?:-\d\d.*)?$', 1) AS BIGINT)"
    return f"CASE WHEN {year} BETWEEN {FIRST_YEAR} AND 2200 THEN {year} END"


def _word(text: str, known: dict[str, tuple[str, ...]]) -> str:
    """Which of a few words a text is."""
    cases = " ".join(
        f"WHEN lower(trim({text})) IN ({', '.join(map(literal, said))}) THEN {literal(word)}"
        for word, said in known.items()
    )
    return f"CASE {cases} END"


def _state(text: str) -> str:
    """The postal code of a state that is written as its code, its name, or the code of ISO 3166-2."""
    told = json.loads(files("schemas").joinpath("states.json").read_text(encoding="utf-8"))
    codes = {
        said.upper(): code
        for country in ("US", "CA")
        for code, name in told[country].items()
        for said in (code, name, f"{country}-{code}")
    }
    members = ", ".join(f"{literal(said)}: {literal(code)}" for said, code in codes.items())
    return f"MAP {{{members}}}[upper(trim({text}))]"
