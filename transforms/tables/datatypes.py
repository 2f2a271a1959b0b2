"""What each FHIR datatype becomes in a table: its columns, and the SQL of each over the struct of a view.

One place for all tables: at the top level, inside lists of structs, and in child tables alike.

    >>> writer = Writer()
    >>> [field.name for field in fields("dose", {"Quantity": "dose"}, writer)]
    ['dose', 'dose_text', 'dose_comparator', 'dose_unit', 'dose_unit_code', 'dose_unit_system']
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transforms.fhir_r4 import QUANTITIES, r4
from transforms.sql_on_fhir.parts import parts_of, without
from transforms.sql_on_fhir.values import FAMILY, Type
from transforms.tables import text as sql
from transforms.tables.systems import PREFERRED, canonical, is_of, rank
from transforms.values import comparators

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from transforms.sql_on_fhir.parts import Part

CODINGS = "STRUCT(system VARCHAR, version VARCHAR, code VARCHAR, display VARCHAR, user_selected BOOLEAN)[]"


@dataclass(frozen=True, slots=True)
class Field:
    """A column, or a member of a struct: its name, DuckDB type, SQL, and what it is."""

    name: str
    type: str
    sql: str
    about: str


@dataclass(slots=True)
class Lookup:
    """What is worked out once for each of the few combinations of values that rows have, and joined to them.

    `keys` are the names of those values, a tuple for each place in the row that asks; `make` takes the names of one
    combination's values to the SQL of what is found.
    """

    make: Callable[..., str]
    keys: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(slots=True)
class Writer:
    """The SQL of a row as it grows: names for what is used several times, in layers, and what deserves a remark.

    Inside a lambda (`deep`) the names are members of a struct that another lambda takes, and nothing is remarked.
    `lacks` are the JSON properties that no element has: structs are without them.
    """

    deep: bool = False
    prefix: str = "let"
    layers: list[dict[str, str]] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    element: str = ""
    """What the columns that are being written begin with."""
    unread: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The dates: by column, the text, and whether it is one that could not be read."""
    count: list[int] = field(default_factory=lambda: [0])
    lookups: dict[str, Lookup] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()

    def let(self, expression: str) -> str:
        """A name for an expression, one layer above the names that it uses."""
        if re.fullmatch(r'\w+|"\w+"', expression):
            return expression
        return self._placed(expression, expression)

    def lookup(self, table: str, keys: Sequence[str], make: Callable[..., str]) -> str:
        """A name for what `make` finds for the keys, worked out once for each different combination of them.

        Whoever asks under one name of a table is answered from the same: the keys of all are put together.
        """
        asked = self.lookups.setdefault(table, Lookup(make))
        named = tuple(self.let(sql.typed(each, "VARCHAR")) for each in keys)
        if named not in asked.keys:
            asked.keys.append(named)
        return self._placed(f"{table}_{asked.keys.index(named) + 1}.found", " ".join(named))

    def _placed(self, expression: str, made_of: str) -> str:
        level = max((int(found) for found in re.findall(rf"\b{self.prefix}(\d+)(?:\b|_)", made_of)), default=-1) + 1
        while len(self.layers) <= level:
            self.layers.append({})
        known = self.layers[level]
        if expression not in known:
            name = f"{self.prefix}{level}_{len(known) + 1}"
            known[expression] = f"{self.prefix}{level}.{name}" if self.deep else name
        return known[expression]

    def fresh(self) -> str:
        """A name for the parameter of a lambda."""
        self.count[0] += 1
        return f"p{self.count[0]}"

    def inner(self) -> Writer:
        """The writer for what stands inside a lambda."""
        self.count[0] += 1
        return Writer(deep=True, prefix=f"q{self.count[0]}_", count=self.count, lacks=self.lacks)

    def wrapped(self, made: str) -> str:
        """SQL within a lambda, with all names put on."""
        for level, layer in reversed(list(enumerate(self.layers))):
            members = ", ".join(f"'{name.partition('.')[2]}': {expression}" for expression, name in layer.items())
            made = f"list_transform([{{{members}}}], lambda {self.prefix}{level}: {made})[1]"
        return made

    def remark(self, rule: str, condition: str) -> None:
        """Note that rows which meet a condition get a remark."""
        if not self.deep:
            self.remarks.setdefault(rule, []).append(condition)

    def layered(self, query: str, only: Collection[str] | None = None) -> str:
        """The query with all names put on, as a query; or with those names alone that `only` these are made of."""
        wanted = None if only is None else self._behind(only)
        joins = {
            f"{table}_{nth}.found": (table, f"{table}_{nth}", keys)
            for table, asked in self.lookups.items()
            for nth, keys in enumerate(asked.keys, start=1)
        }
        for layer in self.layers:
            kept = {made: name for made, name in layer.items() if wanted is None or name in wanted}
            if not kept:
                continue
            named = ",\n  ".join(f"{made} AS {name}" for made, name in kept.items())
            query = f"SELECT below.*,\n  {named}\nFROM (\n{query}\n) AS below"
            for table, alias, keys in (joins[made] for made in kept if made in joins):
                same = (f"{alias}.k{nth} IS NOT DISTINCT FROM below.{key}" for nth, key in enumerate(keys, start=1))
                query += f"\nLEFT JOIN {table} AS {alias} ON {' AND '.join(same)}"
        return query

    def looked_up(self, source: str) -> dict[str, str]:
        """The query of each table that is looked into, in their order: what is found for each combination of keys.

        Args:
            source: a relation of the rows without any name put on.
        """
        made = {}
        for table, asked in self.lookups.items():
            names = [f"k{nth}" for nth in range(1, len(asked.keys[0]) + 1)]
            rows = "\nUNION ALL\n".join(
                f"SELECT {', '.join(f'{key} AS {name}' for key, name in zip(keys, names, strict=True))}\n"
                f"FROM (\n{self.layered(f'FROM {source}', keys)}\n)"
                for keys in asked.keys
            )
            made[table] = (
                f"SELECT {', '.join(names)}, {asked.make(*names)} AS found FROM (SELECT DISTINCT * FROM (\n{rows}\n))"
            )
        return made

    def _behind(self, names: Collection[str]) -> set[str]:
        """These names, and all that they are made of."""
        behind = {
            f"{table}_{nth}.found": " ".join(keys)
            for table, asked in self.lookups.items()
            for nth, keys in enumerate(asked.keys, start=1)
        }
        made_of = {name: behind.get(made, made) for layer in self.layers for made, name in layer.items()}
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += re.findall(rf"\b{self.prefix}\d+_\d+\b", made_of.get(name, ""))
        return found


def snake(name: str) -> str:
    """`asNeeded` → `as_needed`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def fields(
    name: str,
    kinds: Mapping[str, str],
    writer: Writer,
    *,
    about: str = "",
    many: bool = False,
    choice: bool = False,
    within: Type | None = None,
    listed: str | None = None,
    prefer: Sequence[str] = PREFERRED,
) -> list[Field]:
    """The columns of an element.

    Args:
        name: what the columns begin with.
        kinds: FHIR type → SQL of its struct (of the list of them, if `many`); several for a choice. What is `NOTHING`
            becomes columns of nothing.
        about: what the element is, for the dictionary.
        many: whether the element may repeat.
        choice: whether it is one of several types, even where only one of them is asked for.
        within: the type as R4 lists its content, for a BackboneElement.
        listed: the name of the list, for an element that may repeat.
        prefer: the code systems whose coding is shown, the best first.
    """
    writer.element = name
    if many:
        (kind, expression), *_ = kinds.items()
        return _listed(name, within or Type.of(kind), expression, writer, about, listed or plural(name), prefer)
    if len(kinds) == 1 and not choice:
        (kind, expression), *_ = kinds.items()
        found = _made(within or Type.of(kind), expression, writer, prefer)
    else:
        merged: dict[str, list[tuple[str, str, str]]] = {}
        for kind, expression in kinds.items():
            for suffix, sql_type, made, said in _made(Type.of(kind), expression, writer, prefer, choice=choice):
                merged.setdefault(suffix, []).append((sql_type, made, said))
        found = [
            (suffix, given[0][0], sql.first_of(made for _, made, _ in given), given[0][2])
            for suffix, given in merged.items()
        ]
    return [
        Field("_".join(filter(None, (name, suffix))), sql_type, made, f"{about}{said}")
        for suffix, sql_type, made, said in found
    ]


def plural(name: str) -> str:
    """The name of a list of it."""
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name if name.endswith("s") and not name.endswith("ss") else name + ("es" if name.endswith("ss") else "s")


def is_present(kind: str, expression: str) -> str:
    """Whether an element of that type says anything: more than an extension, an id or a unit without a number."""
    family = FAMILY.get(kind)
    if expression == sql.NOTHING:
        return "false"
    if family is not None:
        return f"coalesce({expression} <> '', false)"
    if kind in QUANTITIES:
        return f"coalesce({expression}.value <> '', false)"
    if kind == "CodeableConcept":
        codings = (
            f"coalesce(len(list_filter({expression}.coding, lambda c: coalesce(c.code, c.display) <> '')) > 0, false)"
        )
        return f"CASE WHEN {expression}.text <> '' THEN true ELSE {codings} END"
    both = {"Range": ("low", "high"), "Ratio": ("numerator", "denominator")}.get(kind)
    if both:
        return "(" + " OR ".join(is_present("Quantity", f"{expression}.{part}") for part in both) + ")"
    if kind == "Period":
        return f'coalesce({expression}.start, {expression}."end") IS NOT NULL'
    if kind == "SampledData":
        return f"coalesce({expression}.data <> '', false)"
    if kind == "Reference":
        return f"coalesce({expression}.reference, {expression}.display) IS NOT NULL"
    return f"{expression} IS NOT NULL"


def absent_reasons(kind: str, expression: str, lacks: Collection[str] = ()) -> list[str]:
    """SQL of every place of the element where an extension may say why it is missing."""
    if expression == sql.NOTHING or "extension" in lacks:
        return []
    if kind in QUANTITIES and "_value" in lacks:
        return [sql.absent_reason(f"{expression}.extension")]
    if kind in QUANTITIES:
        return [sql.absent_reason(f"{expression}.extension"), sql.absent_reason(f"{expression}._value.extension")]
    if kind in {"CodeableConcept", "Range", "Ratio", "Period"}:
        return [sql.absent_reason(f"{expression}.extension")]
    return []


# -- single values ----------------------------------------------------------------------------------------------------

_Made = tuple[str, str, str, str]
"""Suffix, DuckDB type, SQL, what to add to the description."""


def _made(kind: Type, expression: str, writer: Writer, prefer: Sequence[str], *, choice: bool = False) -> list[_Made]:
    """The columns of an element, of one of several types if it is a `choice`; what no resource has is nothing."""
    there = expression != sql.NOTHING
    writer, expression = (writer, expression) if there else (Writer(), "nothing")
    found = _chosen(kind.name, expression, writer, prefer) if choice else _alone(kind, expression, writer, prefer)
    return found if there else [(suffix, sql_type, sql.NOTHING, said) for suffix, sql_type, _, said in found]


def _alone(kind: Type, expression: str, writer: Writer, prefer: Sequence[str]) -> list[_Made]:
    """The columns of an element of one type."""
    family = kind.family
    if family in {"date", "dateTime"}:
        return _moment("", expression, writer)
    if family == "boolean":
        return [("", "BOOLEAN", sql.truth(expression), "")]
    if family == "integer":
        return [("", "BIGINT", sql.whole(expression), "")]
    if family == "decimal":
        return _number(expression, writer)
    if family is not None:
        return [("", "VARCHAR", sql.words(expression), "")]
    if kind.name in QUANTITIES:
        return _quantity("", expression, writer)
    return _complex(kind, expression, writer, prefer)


def _chosen(kind: str, expression: str, writer: Writer, prefer: Sequence[str]) -> list[_Made]:
    """The columns of one type of a choice: those that several types have are one column of the table."""
    family = FAMILY.get(kind)
    if family in {"date", "dateTime"}:
        return _moment("date", expression, writer)
    if family == "boolean":
        return [("boolean", "BOOLEAN", sql.truth(expression), " As a yes or no.")]
    if family in {"integer", "decimal"}:
        return _number(expression, writer)
    if family is not None:
        return [("text", "VARCHAR", sql.words(expression), " As sent.")]
    if kind in {"Age", "Duration", "Count", "Distance"}:
        return _quantity(kind.lower(), expression, writer)
    if kind in QUANTITIES:
        return _quantity("", expression, writer)
    if kind == "Timing":
        inner = writer.inner()
        made = _struct(_complex(Type.of(kind), expression, inner, prefer), expression, inner)
        return [("timing", *made, " As a schedule.")]
    return _complex(Type.of(kind), expression, writer, prefer)


def _complex(kind: Type, expression: str, writer: Writer, prefer: Sequence[str]) -> list[_Made]:
    match kind.name:
        case "CodeableConcept":
            return _concept(expression, writer, prefer)
        case "Coding":
            return _coding(writer.let(expression), writer)
        case "Reference":
            return _reference(expression, writer)
        case "Period":
            start = _moment("start", f"{expression}.start", writer)
            return [*start, *_moment("end", f'{expression}."end"', writer)]
        case "Range":
            expression = writer.let(expression)
            return [*_quantity("low", f"{expression}.low", writer), *_quantity("high", f"{expression}.high", writer)]
        case "Ratio":
            return [
                *_quantity("numerator", f"{expression}.numerator", writer),
                *_quantity("denominator", f"{expression}.denominator", writer),
            ]
        case "SampledData":
            inner = writer.inner()
            made = _struct(_parts(kind, expression, inner, prefer), expression, inner)
            return [("samples", *made, " As a series.")]
        case _:
            return _parts(kind, expression, writer, prefer)


def _moment(name: str, text: str, writer: Writer) -> list[_Made]:
    text = writer.let(text)
    read = writer.let(sql.instant(text))
    unread = f"({text} <> '' AND {read} IS NULL)"
    writer.remark("unread-date", unread)
    writer.unread["_".join(filter(None, (writer.element, name)))] = (text, unread)
    under = f"{name}_" if name else ""
    return [
        (name, "TIMESTAMPTZ", read, ""),
        (f"{under}precision", "VARCHAR", sql.precision(text, read), " How exact that is."),
        (f"{under}day", "DATE", sql.day(text, read), " The sender's own day."),
        (f"{under}offset", "VARCHAR", sql.offset(text, read), " The offset from UTC as sent; NULL: read in UTC."),
    ]


def _number(text: str, writer: Writer) -> list[_Made]:
    text = writer.let(text)
    read = writer.let(sql.number(text))
    writer.remark("unread-number", unread_number(text, read))
    return [("", "DOUBLE", read, ""), ("text", "VARCHAR", sql.words(text), " As sent.")]


def unread_number(text: str, read: str) -> str:
    """SQL: whether a text is there that was not `read` as a number."""
    return f"({text} <> '' AND {read} IS NULL)"


def _quantity(name: str, quantity: str, writer: Writer) -> list[_Made]:
    quantity = writer.let(quantity)
    under = f"{name}_" if name else ""
    lacks_comparator = "comparator" in writer.lacks
    comparator = sql.NOTHING if lacks_comparator else _comparator(writer.let(f"{quantity}.comparator"), writer)
    (_, _, value, _), (_, _, digits, _) = _number(f"{quantity}.value", writer)
    return [
        (name, "DOUBLE", value, ""),
        (f"{under}text", "VARCHAR", digits, " As sent."),
        (
            f"{under}comparator",
            "VARCHAR",
            comparator,
            " What makes the number a bound: <, <=, >=, > …; NULL: it is exact.",
        ),
        (f"{under}unit", "VARCHAR", sql.words(f"{quantity}.unit"), " The unit in the sender's words."),
        (f"{under}unit_code", "VARCHAR", f"nullif({quantity}.code, '')", " The unit's code."),
        (f"{under}unit_system", "VARCHAR", f"nullif({quantity}.system, '')", " The system of that code."),
    ]


def _comparator(sent: str, writer: Writer) -> str:
    """A comparator, the one that is meant where it is written oddly (`&lt;`, `=<`); an unknown one as it was sent."""
    usual = ", ".join(map(sql.literal, comparators.KNOWN))
    # Nearly all are NULL or usual: the patterns are for the others.
    is_usual = f"list_contains([{usual}], {sent})"
    read = writer.let(f"CASE WHEN {is_usual} THEN {sent} WHEN {sent} <> '' THEN {comparators.known(sent)} END")
    writer.remark(comparators.UNKNOWN_COMPARATOR, f"(trim({sent}) <> '' AND {read} IS NULL)")
    return f"coalesce({read}, {sql.words(sent)})"


def best_coding(codings: str, writer: Writer, prefer: Sequence[str]) -> str:
    """The coding to show: the best by `systems.rank`, the first of several that are as good."""
    p = writer.fresh()
    chosen = "userSelected" not in writer.lacks
    ranks = f"list_transform({codings}, lambda {p}: {rank(tuple(prefer), p, chosen=chosen)})"
    # mostly there is one
    ranked = writer.let(f"CASE WHEN len({codings}) > 1 THEN {ranks} END")
    return writer.let(f"{codings}[coalesce(list_position({ranked}, list_min({ranked})), 1)]")


def first_concept(concepts: str) -> str:
    """Of several concepts the first that has a coding, else the first."""
    other = f"coalesce(list_filter({concepts}, lambda c: len(c.coding) > 0)[1], {concepts}[1])"
    return f"CASE WHEN len({concepts}[1].coding) > 0 THEN {concepts}[1] ELSE {other} END"


def code_of(codings: str, system: str) -> str:
    """The first code of one system."""
    # Mostly there is one, or the first is it: the lambda is for the others.
    among = f"list_filter({codings}, lambda p: {is_of(system, 'p.system')})[1].code"
    first = f"{codings}[1]"
    found = f"CASE WHEN {is_of(system, f'{first}.system')} THEN {first}.code WHEN len({codings}) > 1 THEN {among} END"
    return f"nullif({found}, '')"


def codings_of(codings: str, writer: Writer) -> str:
    """All codings, as a list of structs."""
    p = writer.fresh()
    version = "CAST(NULL AS VARCHAR)" if "version" in writer.lacks else f"{p}.version"
    selected = "CAST(NULL AS BOOLEAN)" if "userSelected" in writer.lacks else sql.truth(f"{p}.userSelected")
    made = (
        f"{{'system': {p}.system, 'version': {version}, 'code': {p}.code, 'display': {p}.display,"
        f" 'user_selected': {selected}}}"
    )
    return f"list_transform({codings}, lambda {p}: {made})"


def _concept(concept: str, writer: Writer, prefer: Sequence[str]) -> list[_Made]:
    concept = writer.let(concept)
    codings = writer.let(f"{concept}.coding")
    best = best_coding(codings, writer, prefer)
    return [
        *_coding(best, writer),
        ("text", "VARCHAR", sql.words(f"{concept}.text"), " In the sender's words."),
        ("codings", CODINGS, codings_of(codings, writer), " All codings."),
    ]


def _coding(coding: str, writer: Writer) -> list[_Made]:
    system = writer.let(f"{coding}.system")
    return [
        ("code", "VARCHAR", f"nullif({coding}.code, '')", " The code."),
        ("system", "VARCHAR", canonical(system), " The system of the code."),
        ("display", "VARCHAR", sql.words(f"{coding}.display"), " What the code means."),
    ]


_REFERENCE = r"^(?:[^?#]*/)?([A-Z][a-z][A-Za-z]+/[^/?#\s]+?)(?:/_history(?:/[^/?#\s]*)?)?/?(?:[|?#].*)?$"


def typed_reference(text: str) -> str:
    """`Type/id` of a reference that is relative, absolute, or to a version; NULL for any other."""
    return f"nullif(regexp_extract({text}, '{_REFERENCE}', 1), '')"


_PEOPLE = ("Patient", "RelatedPerson")
"""The types whose records name the person or their relatives: such names are shown nowhere."""


def reference_key(reference: str, writer: Writer) -> str:
    """`<link_id>/<Type>/<id>` of what a Reference points at, whichever way that is written.

    A contained resource (`#id`) is `<resource_key>#<id>`. The person's own Patient is the person_key; another Patient,
    an identifier alone and what cannot be found are NULL.
    """
    text = writer.let(f"{writer.let(reference)}.reference")
    typed = writer.let(typed_reference(text))
    return (
        f"CASE WHEN {text} IS NULL THEN NULL WHEN {typed} IS NOT NULL THEN"
        f" CASE WHEN starts_with({typed}, 'Patient/') THEN CASE WHEN {typed} = own_patient THEN person_key END"
        f" ELSE link_id || '/' || {typed} END"
        f" WHEN {text} = own_reference THEN person_key ELSE {_target(reference, writer)}.key END"
    )


def _target(reference: str, writer: Writer) -> str:
    """What a Reference points at, among what `refs` has: asked where it does not say that itself."""
    reference = writer.let(reference)
    text = writer.let(f"{reference}.reference")
    says_all = f"{writer.let(typed_reference(text))} IS NOT NULL AND ({sql.words(f'{reference}.display')}) IS NOT NULL"
    found = f"list_filter(refs, lambda q: q.reference = {text})[1]"
    return writer.let(f"CASE WHEN {text} IS NULL OR ({says_all}) THEN NULL ELSE {found} END")


def _reference(reference: str, writer: Writer) -> list[_Made]:
    reference = writer.let(reference)
    text = writer.let(f"{reference}.reference")
    key = writer.let(reference_key(reference, writer))
    person = f"starts_with({writer.let(typed_reference(text))}, 'Patient/') IS TRUE"
    nothing = f"{text} IS NULL AND {reference}.display IS NULL"
    unmet = f"{text} IS NOT NULL AND ({person}) IS NOT TRUE"
    writer.remark("unresolved-reference", f"({reference} IS NOT NULL AND {key} IS NULL AND (({nothing}) OR ({unmet})))")
    found = _target(reference, writer)
    names = f"coalesce({sql.words(f'{reference}.display')}, {found}.display)"
    shown = f"CASE WHEN {_is_person(reference, text, key, found)} THEN NULL ELSE {names} END"
    return [
        ("key", "VARCHAR", key, " The record it points at."),
        ("display", "VARCHAR", shown, " What that is called; NULL for the person and their relatives."),
    ]


def _is_person(reference: str, text: str, key: str, found: str) -> str:
    """Whether a Reference names the person, or a relative, in whatever way: what it displays is their name.

    An identifier, words alone or a search say nothing of whom they name but by the type that stands beside them, or by
    the words, where they are those that the subject has.
    """
    kinds = "|".join(_PEOPLE)
    listed = ", ".join(sql.literal(each) for each in _PEOPLE)
    told = (
        f"regexp_matches({text}, '(^|/)({kinds})[/?]')",
        f"{key} = person_key",
        f"{reference}.type IN ({listed})",
        f"lower({reference}.display) = lower(own_name)",
        f"{found}.is_person",
    )
    return " OR ".join(f"coalesce({each}, false)" for each in told)


def _parts(kind: Type, expression: str, writer: Writer, prefer: Sequence[str]) -> list[_Made]:
    """The columns of a type without a rule of its own: those of its parts, one after the other."""
    made: list[_Made] = []
    for name, kinds, many, below in _elements(kind, expression, writer.lacks):
        made += [
            (each.name, each.type, each.sql, each.about)
            for each in fields(name, kinds, writer, many=many, choice=len(kinds) > 1, within=below, prefer=prefer)
        ]
    return made


def _elements(
    kind: Type, expression: str, lacks: frozenset[str]
) -> list[tuple[str, dict[str, str], bool, Type | None]]:
    """The elements of a type that its struct holds: name, SQL by type, whether it may repeat, its own content."""
    held: dict[str, Part] = {part.name: part for part in parts_of(kind)}
    kept = {part.name for part in without(parts_of(kind), lacks) or parts_of(kind)}
    found = []
    for name, element in r4().children(kind.owner, kind.path).items():
        there = [held[json_name] for json_name in element.json_names if json_name in held and json_name != "extension"]
        if there:
            kinds = {
                part.type.name: f"{expression}.{sql.quoted(part.name)}" if part.name in kept else sql.NOTHING
                for part in there
            }
            below = there[0].type if len(there) == 1 else None
            bare = kind.name == "Timing" and name in {"repeat", "code"}
            found.append(("" if bare else snake(name), kinds, there[0].many, below))
    return found


# -- lists ------------------------------------------------------------------------------------------------------------


def _listed(
    name: str, kind: Type, expression: str, writer: Writer, about: str, listed: str, prefer: Sequence[str]
) -> list[Field]:
    """An element that may repeat: the list of all, and of concepts and references also the first by itself."""
    if expression in {sql.NOTHING, sql.NO_ITEMS}:
        *flat, whole = _listed(name, kind, "nothing", Writer(), about, listed, prefer)
        return [*(replace(each, sql=sql.NOTHING) for each in flat), replace(whole, sql=expression)]
    inner = writer.inner()
    each = writer.fresh()
    if kind.family is not None:
        sql_type, made = _alone(kind, each, inner, prefer)[0][1:3]
        made = inner.wrapped(made)
        texts = f"list_filter(list_transform({expression}, lambda {each}: {made}), lambda n: n IS NOT NULL)"
        return [Field(listed, f"{sql_type}[]", texts, about)]
    item_type, item = _struct(_alone(kind, each, inner, prefer), each, inner)
    items = f"list_transform({expression}, lambda {each}: {item})"
    whole = Field(listed, f"{item_type}[]", f"list_filter({items}, lambda n: n IS NOT NULL)", f"{about} All of them.")
    if kind.name not in {"CodeableConcept", "Reference"}:
        return [whole]
    first = writer.let(first_concept(expression) if kind.name == "CodeableConcept" else f"{expression}[1]")
    flat = [
        Field(f"{name}_{suffix}", sql_type, made, f"{about}{said}")
        for suffix, sql_type, made, said in _alone(kind, first, writer, prefer)
        if suffix != "codings"
    ]
    return [*flat, whole]


def _struct(made: list[_Made], expression: str, inner: Writer) -> tuple[str, str]:
    """The columns as one struct: its type, and its SQL, NULL where there is nothing."""
    named = [(suffix or "value", sql_type, each) for suffix, sql_type, each, _ in made]
    members = ", ".join(f"{sql.literal(name)}: {sql.typed(each, sql_type)}" for name, sql_type, each in named)
    kind = "STRUCT(" + ", ".join(f"{sql.quoted(name)} {sql_type}" for name, sql_type, _ in named) + ")"
    return kind, f"CASE WHEN {expression} IS NOT NULL THEN {inner.wrapped(f'{{{members}}}')} END"
