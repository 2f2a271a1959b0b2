"""Units as people spell them, folded so that one spelling stands for many.

Case is not kept: `MG/DL`, `Mg/dL` and `mg/dL` are one, because whole systems print in capitals. What UCUM alone tells
apart by case (mega and milli, `G/L` and `g/L`) is settled by what is measured: an analyte takes the units of its kind.
"""

from __future__ import annotations

from typing import Final

FOLDS: Final[tuple[tuple[str, str], ...]] = (
    (r"10([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", r"10*\1"),
    (r"^\{[^}]*\}$", "1"),  # an annotation that stands alone is the unit 1 (UCUM §12)
    (r"\{[^}]*\}", ""),
    (r"[\[\]]", ""),
    (r"&[a-z]+;|[\"']", ""),
    (r"\(\s*calc(ulated|\.)?\s*\)", ""),
    # words
    (r"\bper\b", "/"),
    (r"\bpercent(age)?\b|\bpct\b", "%"),
    (r"\bdeg(ree)?s?\b\.?|[°º]", ""),
    (
        r"\b(cubic|cu\.?)\s*(millimet(er|re)s?|mm)\b|\bc(u|m)mm?\b|\bmm\s*(\^|\*\*?)?3\b|\bmcl\b|\bmicrolit(er|re)s?\b",
        "ul",
    ),
    (r"\bmillilit(er|re)s?\b|\bmls\b|\bccs?\b", "ml"),
    (r"\bdecilit(er|re)s?\b", "dl"),
    (r"\blit(er|re)s?\b", "l"),
    (r"\b(micrograms?|microgrammes?|mcgs?|ugm?s?)\b", "ug"),
    (r"\b(milligrams?|milligrammes?|mgm?s?)\b", "mg"),
    (r"\b(nanograms?|ngm?s?)\b", "ng"),
    (r"\b(picograms?|pgm?s?)\b", "pg"),
    (r"\b(kilograms?|kilogrammes?|kilos?|kgm?s?)\b", "kg"),
    (r"\b(grams?|grammes?|gms?)\b", "g"),
    (r"\b(milli-?moles?|mmoles?|mmols)\b", "mmol"),
    (r"\b(micro-?moles?|micromol|umoles?|mcmol)\b", "umol"),
    (r"\b(nano-?moles?|nmoles?)\b", "nmol"),
    (r"\b(pico-?moles?|pmoles?)\b", "pmol"),
    (r"\b(milli-?equivalents?|mequiv|meqs|meqv)\b", "meq"),
    (r"\bmosmol(es?)?\b", "mosm"),
    (r"\b(international units?|intl? units?|i\.u\.|ius)(\b|/)", r"iu\2"),
    (r"\b(milli-?units?)\b", "mu"),
    (r"\b(micro-?units?)\b", "uu"),
    (r"\bunits?\b", "u"),
    (r"\bhours?\b|\bhrs?\b", "h"),
    (r"\bsec(ond)?s?\b", "s"),
    (r"\bminutes?\b|\bmins\b", "min"),
    (r"\b(cells?|beats?|breaths?|counts?)\b", ""),
    (r"%\s*(of|o2)\b.*$", "%"),
    (r"/\s*\(?\s*1[.,]73.*$|/\s*bsa\b", ""),  # per standard body surface: an annotation, by UCUM's reading
    (r"\s+", ""),
    (r"\bx?10(e?\*\*?|\^|exp|e\+?|x|\()0*(\d+)\)?", r"10*\2"),
    (r"^(thousands?|thous?|th|k|x?1,?000)/", "10*3/"),
    (r"^(millions?|mill?|x?1,?000,?000)/", "10*6/"),
    (r"[/.]+$", ""),
)
"""Patterns and what stands for them, in order, over the text in lower case. Our own; shaped after real feeds."""

_ALIKE: Final = ("µμ²³×·−⁰¹⁴⁵⁶⁷⁸⁹", "uu23x.-01456789")


def folded(text: str) -> str:
    """The spelling of a unit, folded: SQL over the SQL of a text. NULL stays NULL, nothing but spaces is ''."""
    before, after = _ALIKE
    sql = f"regexp_replace(lower(trim({text})), '{FOLDS[0][0]}', '{FOLDS[0][1]}', 'g')"
    sql = f"translate({sql}, '{before}', '{after}')"
    for pattern, replacement in FOLDS[1:]:
        quoted = pattern.replace("'", "''")
        sql = f"regexp_replace({sql}, '{quoted}', '{replacement}', 'g')"
    return sql
