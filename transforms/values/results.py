"""Results that come as strings, read as SQL: a number, a bound, a range, a ratio, a grade, a word, or just text.

Only a whole text is read, and only one way to read it counts: what could be a date, a telephone number, an identifier
or two different numbers stays text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from transforms.values.analytes import known_spellings
from transforms.values.comparators import UNKNOWN_COMPARATOR, plain
from transforms.values.spelling import folded

AMBIGUOUS_NUMBER: Final = "ambiguous-number"
UNREAD_NUMBER: Final = "unread-number"

REMARKS: Final = {
    AMBIGUOUS_NUMBER: "A comma that may part thousands or decimals: the text stands, no number is read.",
    UNREAD_NUMBER: "A number beyond what a DOUBLE holds: the text stands, the number is NULL.",
}

COLUMNS: Final[dict[str, str]] = {
    "kind": "VARCHAR",
    "comparator": "VARCHAR",
    "number": "DOUBLE",
    "low": "DOUBLE",
    "high": "DOUBLE",
    "numerator": "DOUBLE",
    "denominator": "DOUBLE",
    "systolic": "DOUBLE",
    "diastolic": "DOUBLE",
    "unit": "VARCHAR",
    "is_positive": "BOOLEAN",
    "remark": "VARCHAR",
}
"""What a read text has. `kind`: number, bound, range, ratio, pressure, grade, word or text."""

_PLAIN = r"-?(?:0|[1-9]\d{0,14})?(?:\.\d{1,15})"  # with decimals
_WHOLE = r"-?(?:0|[1-9]\d{0,14})"  # no leading zero: that is an identifier, a date or a code
_GROUPED = r"-?[1-9]\d{0,2}(?:,\d{3})+\.\d{1,15}|-?[1-9]\d{0,2}(?:,\d{3}){2,}"
_POWER = rf"(?:(?:{_PLAIN}|{_WHOLE})\s?[xX*×]\s?)?10\^-?\d{{1,2}}"
_NUMBER = rf"(?:{_POWER}|{_GROUPED}|(?:{_PLAIN}|{_WHOLE})(?:[eE][-+]?\d{{1,3}})?)"
_COMPARATOR = r"(?:[<>] ?=?|=[<>])"
_UNIT = r"(?: ?(?:/ ?[^\d\s]|[^\d\s.,:;+<>=/-])[^:;<>=]*| (?:x ?)?10[*^(xeE]\S+)"

QUANTITY: Final = rf"^({_COMPARATOR}?) ?({_NUMBER})({_UNIT}?)$"
RANGE: Final = rf"^({_NUMBER}) ?(?:-|to) ?({_NUMBER})({_UNIT}?)$"
RATIO: Final = rf"^({_COMPARATOR}?) ?(1) ?(?:: ?([1-9]\d{{0,8}})|/ ?(3[2-9]|[4-9]\d|[1-9]\d{{2,8}}))$"
PRESSURE: Final = r"^([1-9]\d{1,2}) ?/ ?([1-9]\d{1,2})( ?mm.*)$"
GRADE: Final = r"^(?:\+{1,4}|[1-4] ?\+)$"
NOT_RANGE: Final = r"^(?:\d{3}-\d{4}|(?:19|20)\d\d ?- ?(?:19|20)\d\d)$"
"""Telephone numbers and years, which look like ranges."""
NOT_NUMBER: Final = r"^-?\d{9,}$|^(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"
"""Identifiers, telephone numbers and days without their hyphens, which look like numbers."""
AMBIGUOUS: Final = rf"^{_COMPARATOR}? ?-?\d{{1,3}}(?:,\d+|(?:\.\d{{3}})+,\d+|(?:\.\d{{3}}){{2,}})(?:[^\d,.].*)?$"
WORDED_COMPARATOR: Final = (
    r"^(?:<>|><|<<|>>|={1,2}|!=|~|≈|±|\+/-|(?:less|greater|more|fewer|lower|higher) than|at (?:least|most)"
    r"|approx\S*|about|up to|over|under|above|below) ?(?:or equal to )?-?\.?\d.*$"
)


def result(text: str) -> str:
    """`STRUCT` of `COLUMNS` from a result sent as text; NULL where there is none.

    A bound has its comparator beside its number, as a FHIR Quantity has; a range has low and high, a ratio numerator
    and denominator (a comparator belongs to the denominator: `<1:8` is a titre below 8), and neither has a number.
    `unit` is as sent, and only where its spelling is known: the rest of a text is never thrown away to get a number.

    It is a subquery, so that each different text is read once, and cannot stand in a lambda: see `result_of_each`.
    """
    parts, kind, read = _steps()
    return (
        f"(SELECT {read} FROM (SELECT ch.t, ch.p, {kind} AS k FROM (SELECT ch.t, {parts} AS p"
        f" FROM (SELECT {plain('ch.ch_text')} AS t FROM (SELECT {text} AS ch_text) ch) ch) ch) ch)"
    )


def result_of_each(text: str) -> str:
    """What `result` gives, for texts inside lists (in a lambda): slow, since a lambda makes its patterns anew."""
    parts, kind, read = _steps()
    with_text = f"list_transform([{plain(text)}], lambda ch: struct_pack(t := ch))"
    with_parts = f"list_transform({with_text}, lambda ch: struct_pack(t := ch.t, p := {parts}))"
    with_kind = f"list_transform({with_parts}, lambda ch: struct_pack(t := ch.t, p := ch.p, k := {kind}))"
    return f"list_transform({with_kind}, lambda ch: {read})[1]"


def _steps() -> tuple[str, str, str]:
    """SQL: the parts of a text `ch.t`, its kind from these as `ch.p`, and the result from that as `ch.k`."""
    fields = (
        f"q := regexp_extract(ch.t, '{QUANTITY}', ['sign', 'number', 'unit']),"
        f" r := regexp_extract(ch.t, '{RANGE}', ['low', 'high', 'unit']),"
        f" f := regexp_extract(ch.t, '{RATIO}', ['sign', 'one', 'colon', 'slash']),"
        f" p := regexp_extract(ch.t, '{PRESSURE}', ['systolic', 'diastolic', 'unit'])"
    )
    parts = f"CASE WHEN regexp_matches(ch.t, '^[-.<>=\\d]') THEN struct_pack({fields}) END"
    # CASE inside CASE, since both sides of an AND are worked out for every row
    kinds = (
        f"CASE WHEN ch.p.r.low <> '' THEN CASE WHEN regexp_matches(ch.t, '{NOT_RANGE}') THEN 'text'"
        f" WHEN {_double('ch.p.r.low')} < {_double('ch.p.r.high')}"
        f" THEN CASE WHEN {_is_unit('ch.p.r.unit')} THEN 'range' ELSE 'text' END ELSE 'text' END"
        f" WHEN ch.p.q.number <> '' THEN CASE WHEN regexp_matches(ch.t, '{NOT_NUMBER}') THEN 'text'"
        f" WHEN {_is_unit('ch.p.q.unit')} THEN CASE WHEN ch.p.q.sign = '' THEN 'number' ELSE 'bound' END"
        " ELSE 'text' END"
        " WHEN ch.p.f.one <> '' THEN 'ratio'"
        f" WHEN ch.p.p.systolic <> '' THEN CASE WHEN {_double('ch.p.p.systolic')} > {_double('ch.p.p.diastolic')}"
        f" AND {folded('ch.p.p.unit')} = 'mmhg' THEN 'pressure' ELSE 'text' END"
        f" WHEN regexp_matches(ch.t, '{GRADE}') THEN 'grade'"
        f" WHEN {_word('ch.t')} IS NOT NULL THEN 'word' ELSE 'text' END"
    )
    sign = (
        "replace(replace(replace(CASE ch.k WHEN 'bound' THEN ch.p.q.sign WHEN 'ratio' THEN ch.p.f.sign END, ' ', ''),"
        " '=<', '<='), '=>', '>=')"
    )
    unit = "CASE ch.k WHEN 'range' THEN ch.p.r.unit WHEN 'pressure' THEN ch.p.p.unit WHEN 'number' THEN ch.p.q.unit"
    read = (
        "CASE WHEN ch.t <> '' THEN struct_pack(kind := ch.k,"
        f" comparator := nullif({sign}, ''),"
        f" number := CASE WHEN ch.k IN ('number', 'bound') THEN {_double('ch.p.q.number')} END,"
        f" low := CASE WHEN ch.k = 'range' THEN {_double('ch.p.r.low')} END,"
        f" high := CASE WHEN ch.k = 'range' THEN {_double('ch.p.r.high')} END,"
        f" numerator := CASE WHEN ch.k = 'ratio' THEN {_double('ch.p.f.one')} END,"
        f" denominator := CASE WHEN ch.k = 'ratio' THEN {_double('concat(ch.p.f.colon, ch.p.f.slash)')} END,"
        f" systolic := CASE WHEN ch.k = 'pressure' THEN {_double('ch.p.p.systolic')} END,"
        f" diastolic := CASE WHEN ch.k = 'pressure' THEN {_double('ch.p.p.diastolic')} END,"
        f" unit := nullif(trim({unit} WHEN 'bound' THEN ch.p.q.unit END), ''),"
        f" is_positive := CASE ch.k WHEN 'grade' THEN true WHEN 'word' THEN {_word('ch.t')} END,"
        f" remark := CASE WHEN ch.k IN ('number', 'bound') AND {_double('ch.p.q.number')} IS NULL"
        f" THEN '{UNREAD_NUMBER}'"
        f" WHEN ch.k <> 'text' THEN NULL WHEN regexp_matches(ch.t, '{AMBIGUOUS}') THEN '{AMBIGUOUS_NUMBER}'"
        f" WHEN regexp_matches(lower(ch.t), '{WORDED_COMPARATOR}') THEN '{UNKNOWN_COMPARATOR}' END) END"
    )
    return parts, kinds, read


def positive_code(system: str, code: str) -> str:
    """Whether a coded result says yes (true) or no (false) to what was looked for; NULL where it says neither."""
    pairs: dict[bool, list[str]] = {
        verdict: [
            f"'{each['system']}|{one}'"
            for each in _words()["codes"]
            for one in each["positive" if verdict else "negative"]
        ]
        for verdict in (True, False)
    }
    both = f"rtrim({system}, '/') || '|' || {code}"
    yes, no = (", ".join(pairs[verdict]) for verdict in (True, False))
    return f"CASE WHEN {both} IN ({yes}) THEN true WHEN {both} IN ({no}) THEN false END"


def _double(text: str) -> str:
    """A number of the grammar as DOUBLE; NULL where it is too great for one, or too small to be told from nothing."""
    plain_power = rf"regexp_replace(regexp_replace({text}, '\s?[xX*×]\s?10\^', 'e'), '^10\^', '1e')"
    number = f"TRY_CAST(replace({plain_power}, ',', '') AS DOUBLE)"
    vanished = f"{number} = 0 AND regexp_matches({text}, '^[^eE^]*[1-9]')"
    return f"CASE WHEN NOT isfinite({number}) THEN NULL WHEN {vanished} THEN NULL ELSE {number} END"


def _is_unit(text: str) -> str:
    """Whether a text is nothing, or a known unit of two letters or more (a letter alone is a flag, too)."""
    known = "|".join(re.escape(each) for each in known_spellings() if len(each) > 1 or each == "%").replace("'", "''")
    return f"CASE WHEN {text} = '' THEN true ELSE regexp_full_match({folded(text)}, '{known}') END"


def _word(text: str) -> str:
    """Whether a word says yes (true) or no (false); NULL where it says neither."""
    word = rf"lower(regexp_replace({text}, '\s*[.!*]+$', ''))"
    lists = {name: ", ".join("'" + each + "'" for each in _words()[name]) for name in ("positive", "negative")}
    return f"CASE WHEN {word} IN ({lists['positive']}) THEN true WHEN {word} IN ({lists['negative']}) THEN false END"


@lru_cache
def _words() -> Any:
    return msgspec.json.decode(files("schemas").joinpath("codes", "result_words.json").read_bytes())
