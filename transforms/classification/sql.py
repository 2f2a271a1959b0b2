"""The same rules as SQL over a resource's JSON text, for DuckDB.

`category_sql` and `rule_sql` are expressions, for any query. `classified_sql` is a SELECT for the build: of each
resource it takes what the rules read, which a parse of the JSON gives, and asks the rules once of each that differs;
a hundred thousand Observations have a few hundred.

Most Observations have one coding and one category: a few paths, extracted together, decide about them as fast as the
JSON is parsed. Lists are read where there are lists, and what is declared is looked at where Health Connect's rules say
nothing; CASE keeps both from the others. A `list_transform` over a list of one gives a value a name, so that it is made
once.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from transforms.classification.declaration import (
    OBSERVATION,
    PHONE,
    PHONE_OBSERVATION,
    PHONE_TYPE,
    UNKNOWN_OBSERVATION,
    UNKNOWN_TYPE,
    declaration,
    rules,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Answer = Callable[[str], str]
    """What is answered where a rule decides: SQL of the rule's id, or of its category."""

_CODINGS = '[{"system":"VARCHAR","code":"VARCHAR"}]'
_SHAPE = f'{{"code":{{"coding":{_CODINGS}}},"category":[{{"coding":{_CODINGS}}}]}}'
_PATHS = (
    "$.code.coding[0].system",
    "$.code.coding[0].code",
    "$.category[0].coding[0].system",
    "$.category[0].coding[0].code",
    "$.code.coding[1]",
    "$.category[0].coding[1]",
    "$.category[1]",
)
"""The first coding and category; then what is there only where they are several."""


def category_sql(resource: str, resource_type: str, route: str) -> str:
    """An SQL expression: the category of a resource, NULL where it is additional.

    Args:
        resource: an SQL expression, the resource's JSON text.
        resource_type: one for its type, a text.
        route: one for the route that it came by, a text.
    """
    return _decided(resource, resource_type, route, _category)


def rule_sql(resource: str, resource_type: str, route: str) -> str:
    """An SQL expression: the id of the rule that decides about a resource (see `rules`), never NULL.

    The arguments are those of `category_sql`.
    """
    return _decided(resource, resource_type, route, _quoted)


def classified_sql(source: str, keys: Sequence[str]) -> str:
    """A SELECT: `keys`, `resource_type`, `rule` and `category` (NULL where additional) of every row of a relation.

    Args:
        source: a relation with `resource_type`, `route` and `resource` (JSON text), and the `keys`; used as it stands.
        keys: the columns that tell its rows apart.
    """
    named = ", ".join(map(_name, keys))
    taken_along = ", ".join(f"read.{_name(key)}" for key in keys)
    rule = rule_sql("evidence", "resource_type", "route")
    taken = (f"WHEN {_quoted(each.id)} THEN {_quoted(each.category)}" for each in rules().values() if each.category)
    return (
        f"WITH read AS MATERIALIZED (SELECT {named}, resource_type, route, {_evidence()} AS evidence FROM {source}),\n"
        f"decided AS MATERIALIZED (SELECT *, CASE rule {' '.join(taken)} END AS category FROM (\n"
        f"SELECT resource_type, route, evidence, {rule} AS rule\n"
        f"FROM (SELECT DISTINCT resource_type, route, evidence FROM read)))\n"
        f"SELECT {taken_along}, read.resource_type, decided.rule, decided.category\n"
        f"FROM read JOIN decided ON read.evidence IS NOT DISTINCT FROM decided.evidence"
        f" AND read.resource_type IS NOT DISTINCT FROM decided.resource_type"
        f" AND read.route IS NOT DISTINCT FROM decided.route"
    )


def _evidence() -> str:
    """What the rules read of a resource, as JSON of the same shape; NULL for types that they know by name."""
    read = "TRY(json_extract(resource, ['$.code.coding', '$.category']))"
    made = (
        """'{"code":{"coding":' || coalesce(seen[1], 'null') || '},"category":' || coalesce(seen[2], 'null') || '}'"""
    )
    return f"CASE resource_type WHEN {_quoted(OBSERVATION)} THEN list_transform([{read}], lambda seen: {made})[1] END"


def _category(rule: str) -> str:
    category = rules()[rule].category
    return "NULL" if category is None else _quoted(category)


def _decided(resource: str, resource_type: str, route: str, answer: Answer) -> str:
    known = declaration()
    on_phone = f"({route}) = {_quoted(PHONE)}"
    observation = (
        f"list_transform([{_placed(resource, on_phone)}], lambda placed: CASE"
        f" WHEN placed IS NOT NULL THEN {_of_kind('health-connect', 'placed', answer)}"
        f" WHEN {on_phone} THEN {answer(PHONE_OBSERVATION)}"
        f" ELSE {_declared(resource, answer)} END)[1]"
    )
    everywhere = (f"WHEN {_quoted(name)} THEN {answer(f'type/{name}')}" for name in known.health_connect_types)
    from_providers = (f"WHEN {_quoted(name)} THEN {answer(f'type/{name}')}" for name in known.declared_types)
    return (
        f"CASE ({resource_type}) WHEN {_quoted(OBSERVATION)} THEN {observation} {' '.join(everywhere)} ELSE"
        f" CASE WHEN {on_phone} THEN {answer(PHONE_TYPE)} ELSE"
        f" CASE ({resource_type}) {' '.join(from_providers)} ELSE {answer(UNKNOWN_TYPE)} END END END"
    )


def _placed(resource: str, on_phone: str) -> str:
    """The place of the first kind that a rule of Health Connect names; NULL where none does."""
    known = declaration()
    # Extracted as JSON, so that a null in a list is not taken for its end. Strings stand in quotes there.
    loinc = [{f'"{code}"' for code in kind.health_connect_loinc} for kind in known.kinds]
    named = [{f'"{code}"' for code in kind.health_connect_categories} for kind in known.kinds]
    paths = ", ".join(map(_quoted, _PATHS))
    return (
        f"list_transform([TRY(json_extract({resource}, [{paths}]))], lambda seen: CASE"
        f" WHEN seen[5] IS NULL AND seen[6] IS NULL AND seen[7] IS NULL THEN least("
        f"CASE WHEN seen[1] = {_quoted(chr(34) + known.code_system + chr(34))} THEN {_place('seen[2]', loinc)} END, "
        f"CASE WHEN seen[3] = {_quoted(chr(34) + known.category_system + chr(34))} THEN {_place('seen[4]', named)} END)"
        f" ELSE {_placed_in_lists(resource, on_phone)} END)[1]"
    )


def _placed_in_lists(resource: str, on_phone: str) -> str:
    """The same of lists. The phone's are read up to the first entry that is no object: a typed reading hides those."""
    typed = f"TRY(from_json({resource}, {_quoted(_SHAPE)}))"
    categories = "flatten(list_transform(typed.category, lambda concept: concept.coding))"
    concepts = _until_odd(f"json_extract({resource}, '$.category')")
    in_concept = _until_odd("json_extract(concept, '$.coding')")
    read = _first_of("typed.code.coding", categories, "coding.system", "coding.code")
    read_by_phone = _first_of(
        _until_odd(f"json_extract({resource}, '$.code.coding')"),
        f"flatten(list_transform({concepts}, lambda concept: {in_concept}))",
        "coding->>'$.system'",
        "coding->>'$.code'",
    )
    return f"CASE WHEN {on_phone} THEN {read_by_phone} ELSE list_transform([{typed}], lambda typed: {read})[1] END"


def _first_of(codings: str, categories: str, system: str, code: str) -> str:
    """The place of the first kind that one of these names."""
    known = declaration()
    loinc = _place(code, [kind.health_connect_loinc for kind in known.kinds])
    named = _place(code, [kind.health_connect_categories for kind in known.kinds])
    return (
        f"least(list_min(list_transform({codings}, lambda coding:"
        f" CASE WHEN ({system}) = {_quoted(known.code_system)} THEN {loinc} END)), "
        f"list_min(list_transform({categories}, lambda coding:"
        f" CASE WHEN ({system}) = {_quoted(known.category_system)} THEN {named} END)))"
    )


def _until_odd(value: str) -> str:
    """The entries of a JSON list up to the first that is no object, as JSON[]; none where it is no list."""
    listed = f"CASE json_type({value}) WHEN 'ARRAY' THEN from_json({value}, '[\"JSON\"]') ELSE [] END"
    is_odd = "lambda entry: json_type(entry) IS DISTINCT FROM 'OBJECT'"
    odd = f"nullif(list_position(list_transform(entries, {is_odd}), true), 0)"
    return f"list_transform([{listed}], lambda entries: entries[1:coalesce({odd} - 1, len(entries))])[1]"


def _declared(resource: str, answer: Answer) -> str:
    """What decides where Health Connect's rules say nothing."""
    by_class = f"list_min(list_transform(said.loinc, lambda code: {_by_class('code')}))"
    return (
        f"list_transform([{{'loinc': {_loinc_codes(resource)}, 'named': {_named(resource)}}}], lambda said: "
        f"list_transform([list_min(list_transform(said.loinc, lambda code: {_by_loinc('code')}))], lambda coded: CASE"
        f" WHEN coded <= coalesce(said.named, coded) THEN {_of_kind('code', 'coded', answer)}"
        f" WHEN said.named IS NOT NULL THEN {_of_kind('category', 'said.named', answer)}"
        f" ELSE coalesce({_of_kind('loinc-class', by_class, answer)}, {answer(UNKNOWN_OBSERVATION)})"
        f" END)[1])[1]"
    )


def _loinc_codes(resource: str) -> str:
    codings = _loose(f"json_extract({resource}, '$.code.coding')")
    is_loinc = _in(_folded("coding->>'$.system'"), declaration().loinc_systems)
    return f"list_transform({codings}, lambda coding: CASE WHEN {is_loinc} THEN trim(coding->>'$.code') END)"


def _named(resource: str) -> str:
    """The place of the first kind that the categories name."""
    coding = [
        _by_word("coding->>'$.code'"),
        _by_word("coding->>'$.display'"),
        _by_coding("coding->>'$.system'", "coding->>'$.code'"),
    ]
    codings = _loose("json_extract(concept, '$.coding')")
    text, itself = _by_word("concept->>'$.text'"), _by_word("concept->>'$'")
    concept = (
        "CASE json_type(concept) WHEN 'OBJECT' THEN "
        f"least({text}, list_min(list_transform({codings}, lambda coding: least({', '.join(coding)}))))"
        f" WHEN 'VARCHAR' THEN {itself} END"
    )
    concepts = _loose(f"json_extract({resource}, '$.category')")
    return f"list_min(list_transform({concepts}, lambda concept: {concept}))"


def _loose(value: str) -> str:
    """The entries of a list, or the one value that stands in its place, as JSON[]."""
    return f"CASE json_type({value}) WHEN 'ARRAY' THEN from_json({value}, '[\"JSON\"]') ELSE [{value}] END"


def _by_loinc(code: str) -> str:
    return _place(code, [kind.health_connect_loinc for kind in declaration().kinds])


def _by_class(code: str) -> str:
    """The place of the first kind whose class has the code.

    There are thousands: as texts, one for each last digit, they are planned ten times as fast as lists of constants.
    """
    kinds = declaration().kinds
    asked = f"'|' || replace({code}, '|', '!') || '|'"
    ends = sorted({each[-1:] for kind in kinds for each in kind.class_loinc})
    cases = []
    for end in ends:
        texts = ["|".join(sorted(each for each in kind.class_loinc if each[-1:] == end)) for kind in kinds]
        within = (f"WHEN contains('|{text}|', {asked}) THEN {place}" for place, text in enumerate(texts) if text)
        cases.append(f"WHEN {_quoted(end)} THEN CASE {' '.join(within)} END")
    return f"CASE right({code}, 1) {' '.join(cases)} END"


def _by_word(text: str) -> str:
    word = f"replace(replace({_folded(text)}, ' ', '-'), '_', '-')"
    return _place(word, [kind.words for kind in declaration().kinds])


def _by_coding(system: str, code: str) -> str:
    known = declaration()
    cases = []
    for coded in known.coded:
        place = _place(_folded(code), [coded.kinds.get(kind.name, frozenset()) for kind in known.kinds])
        cases.append(f"WHEN {_in(_folded(system), coded.systems)} THEN {place}")
    return f"CASE {' '.join(cases)} END"


def _place(value: str, sets: Sequence[Iterable[str]]) -> str:
    """The place of the first set that holds the value; NULL where none does."""
    cases = [f"WHEN {_in(value, members)} THEN {place}" for place, members in enumerate(sets) if members]
    return f"CASE {' '.join(cases)} END"


def _of_kind(source: str, place: str, answer: Answer) -> str:
    """The answer for the kind at that place, by the rule of that source."""
    found = ((number, f"{source}/{kind.name}") for number, kind in enumerate(declaration().kinds))
    cases = (f"WHEN {number} THEN {answer(rule)}" for number, rule in found if rule in rules())
    return f"CASE {place} {' '.join(cases)} END"


def _folded(text: str) -> str:
    return f"lower(trim({text}))"


def _in(value: str, members: Iterable[str]) -> str:
    return f"({value}) IN ({', '.join(map(_quoted, sorted(members)))})"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


@cache
def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
