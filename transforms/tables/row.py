"""One row of a table as it is written: every datatype read by its one rule, in columns."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from transforms.fhir_r4 import r4
from transforms.ids import PERMITTED
from transforms.sql_on_fhir.values import FAMILY
from transforms.tables import text as sql
from transforms.tables.datatypes import (
    Field,
    absent_reasons,
    code_of,
    codings_of,
    fields,
    first_concept,
    is_present,
    reference_key,
)
from transforms.tables.declaration import Declared, TableError
from transforms.tables.measured import PRESSURES, canonical, is_positive, read_result, with_result
from transforms.tables.references import NAMED
from transforms.tables.rows import Rows
from transforms.tables.systems import title
from transforms.tables.version import MAPPING_VERSION
from transforms.tables.views import ITEM, NUMBER, view_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transforms.tables.declaration import ViewColumn

ABSENT_SYSTEM = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_DATED = frozenset({"dateTime", "date", "instant", "Period", "Timing"})


class Row(Rows):
    """The columns of a row, in their order, each with the SQL of it."""

    def columns(self) -> list[Field]:
        """All columns of the table, in their order."""
        made = list(self.child() if self.declaration.of else self.category())
        names = [each.name for each in made]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise TableError(f"{self.declaration.name}: two columns are named {', '.join(sorted(twice))}")
        return made

    def child(self) -> Iterator[Field]:
        """The columns of a child table."""
        own = [each for declared in self.declaration.columns for each in self.own(declared)]
        about = f"The row of `{self.declaration.of}` that it belongs to."
        yield Field(
            "row_key", "VARCHAR", f"resource_key || '/0/' || {ITEM}", "Names the row: `<parent_key>/<number>`. Unique."
        )
        yield Field("parent_key", "VARCHAR", "resource_key || '/0'", about)
        yield Field("person_key", "VARCHAR", "person_key", "The person: random, says nothing about who it is.")
        yield Field("link_id", "VARCHAR", "link_id", "The link (a person at a provider) that the record came by.")
        yield Field("resource_key", "VARCHAR", "resource_key", "The FHIR resource: `<link_id>/<Type>/<id>`.")
        yield Field("number", "BIGINT", f"CAST({ITEM} AS BIGINT)", "1… in the order sent.")
        yield Field("mapping_version", "VARCHAR", sql.literal(MAPPING_VERSION), "The version of the mapping.")
        yield Field("remarks", "VARCHAR[]", self.remarks(), "Rules that the row breaks, and what could not be read.")
        yield from own
        yield from self.unread_dates()

    def category(self) -> Iterator[Field]:
        """The columns of a category table: those that all begin with, then its own."""
        declaration, writer = self.declaration, self.writer
        rows = declaration.rows is not None
        number = NUMBER if rows else "0"
        concept = self.concept()
        code = {
            each.name: each for each in fields("code", {"CodeableConcept": concept}, writer, prefer=declaration.prefer)
        }
        codings = f"{concept}.coding"
        words = code["code_text"].sql
        if "Reference" in self.kinds(declaration.common["code"]):
            words = f"coalesce({words}, {self.drug_display()})"
        words = writer.let(words)
        status, status_codings = self.status("status")
        error, error_codings = self.status("error")
        start, end, dated = self.dates()
        visit, visit_start = self.visit()
        recorded = self.moment("recorded")
        updated = sql.instant("last_updated")
        entered = [f"{each} = 'entered-in-error'" for each in (status, error) if each]
        entered += [f"list_contains({each}, 'entered-in-error')" for each in (status_codings, error_codings) if each]
        nothing = " AND ".join(f"{each} IS NULL" for each in (code["code_code"].sql, code["code_display"].sql, words))
        if declaration.name != "visits":
            writer.remark("names-nothing", f"({nothing})")
        writer.remark("mended-shape", "is_mended")
        # What stands inside another resource is known as `<its id>#<own id>`.
        sent = "CASE WHEN resource_type = 'Observation' THEN resource_id ELSE split_part(resource_id, '#', 1) END"
        writer.remark("unusual-id", f"(NOT regexp_full_match({sent if rows else 'resource_id'}, '{PERMITTED}'))")
        own = [*self.system_columns(codings), *dated]
        own += [each for declared in declaration.columns for each in self.own(declared)]
        if rows:
            own.insert(
                0,
                Field(
                    NUMBER,
                    "BIGINT",
                    f"CAST({NUMBER} AS BIGINT)",
                    "0 for the observation itself, 1… for its components.",
                ),
            )
        if declaration.record_types:
            cases = " ".join(
                f"WHEN {sql.literal(k)} THEN {sql.literal(v)}" for k, v in declaration.record_types.items()
            )
            about = ", ".join(declaration.record_types.values())
            own.insert(0, Field("record_type", "VARCHAR", f"CASE resource_type {cases} END", f"Which of: {about}."))
        own += [self.absent(), *self.unread_dates()]
        yield Field(
            "row_key",
            "VARCHAR",
            f"resource_key || '/' || {number}",
            "Names the row: `<resource_key>/<number>`. Unique.",
        )
        yield Field("person_key", "VARCHAR", "person_key", "The person: random, says nothing about who it is.")
        yield Field("link_id", "VARCHAR", "link_id", "The link (a person at a provider) that the record came by.")
        yield Field("resource_key", "VARCHAR", "resource_key", "The FHIR resource: `<link_id>/<Type>/<id>`.")
        yield Field("provider", "VARCHAR", "link_provider", "The provider of the link.")
        yield Field("route", "VARCHAR", "link_route", "How the link came to be: direct, verified or phone.")
        yield Field("status", "VARCHAR", status or "NULL", "The status of the record.")
        yield Field("code", "VARCHAR", code["code_code"].sql, "The code: of the best of `codings`.")
        yield Field("code_system", "VARCHAR", code["code_system"].sql, "The system of that code.")
        yield Field("display", "VARCHAR", code["code_display"].sql, "What that code means, as sent with it.")
        yield Field("text", "VARCHAR", words, "What it is, in the sender's words.")
        yield Field("effective_start", "TIMESTAMPTZ", start[0].sql, "When it is true of the person: the start.")
        yield Field("effective_start_precision", "VARCHAR", start[1].sql, "How exact that is.")
        yield Field("effective_end", "TIMESTAMPTZ", end[0].sql, "The end.")
        yield Field("effective_end_precision", "VARCHAR", end[1].sql, "How exact that is.")
        yield Field("recorded_at", "TIMESTAMPTZ", recorded, "When it was recorded or issued.")
        yield Field("last_updated", "TIMESTAMPTZ", updated, "When the provider last changed it (`meta.lastUpdated`).")
        yield Field("is_entered_in_error", "BOOLEAN", _any(entered), "Whether the sender says that it never was so.")
        yield Field(
            "is_negated",
            "BOOLEAN",
            self.negated(status, error, error_codings, codings, (words, code["code_display"].sql)),
            "Whether it says that something is not so (refuted, not done, not to be given, none known), or not known.",
        )
        yield Field("encounter_key", "VARCHAR", visit, "The visit it was made in.")
        yield Field("mapping_version", "VARCHAR", sql.literal(MAPPING_VERSION), "The version of the mapping.")
        yield Field("codings", code["code_codings"].type, self.all_codings(code["code_codings"].sql), "All codings.")
        yield Field("remarks", "VARCHAR[]", self.remarks(), "Rules that the row breaks, and what could not be read.")
        yield Field("effective_start_day", "DATE", start[2].sql, "The start on the sender's own calendar.")
        yield Field(
            "effective_start_offset", "VARCHAR", start[3].sql, "The offset from UTC as sent; NULL: read in UTC."
        )
        yield Field(
            "encounter_start",
            "TIMESTAMPTZ",
            visit_start,
            "When the visit began: never passed off as the record's own date.",
        )
        yield from own

    def own(self, declared: Declared) -> list[Field]:
        """The columns of an element that is the table's own."""
        kinds = self.kinds(declared)
        within = next(
            (each.within for found in declared.alternatives.values() for alternative in found for each in alternative),
            None,
        )
        if declared.first_row_only:
            row_only = {
                # What a path picks out of a collection is not given as sent, but in the type of its column.
                kind: f"CASE WHEN {NUMBER} = 0 THEN {f'{each}::VARCHAR' if kind in FAMILY else each} END"
                for kind, each in kinds.items()
                if each != sql.NOTHING
            }
            kinds = {kind: self.writer.let(row_only.get(kind, each)) for kind, each in kinds.items()}
        made = fields(
            declared.name,
            kinds,
            self.writer,
            about=declared.about,
            many=declared.many,
            choice=declared.choice and len(kinds) > 1,
            within=within if len(kinds) == 1 else None,
            listed=declared.listed,
            prefer=declared.prefer,
        )
        if declared.name == "value" and self.declaration.rows:
            made = with_result(made, kinds, self.writer)
            made += [*self.about_value(kinds), is_positive(kinds, self.writer, self.interpretations())]
            made += canonical("value", made, self.loinc(), self.writer)
        if declared.name in PRESSURES and self.declaration.rows:
            made = self.pressure(declared.name, made)
        if declared.name == "data_absent_reason":
            made = self.with_reason(made, kinds["CodeableConcept"])
        if declared.name == "as_needed":
            known, concept = sql.truth(kinds["boolean"]), f"{kinds['CodeableConcept']} IS NOT NULL"
            needed = f"coalesce({known}, CASE WHEN {concept} THEN true END)"
            made = [each for each in made if each.name != "as_needed_boolean"]
            made.insert(0, Field("is_as_needed", "BOOLEAN", needed, "Whether it is taken as needed."))
        if declared.name == "member":
            listed = made[-1].sql
            there = "false" if listed in {sql.NOTHING, sql.NO_ITEMS} else f"coalesce(len({listed}) > 0, false)"
            made.append(Field("has_members", "BOOLEAN", there, "Whether it groups other observations."))
        return made

    def loinc(self) -> str:
        """The row's LOINC code."""
        return self.writer.let(code_of(f"{self.concept()}.coding", "loinc"))

    def interpretations(self) -> str:
        """How the row's value is interpreted: concepts."""
        declared = next(each for each in self.declaration.columns if each.name == "interpretation")
        return self.kinds(declared)["CodeableConcept"]

    def pressure(self, name: str, made: list[Field]) -> list[Field]:
        """A side of a blood pressure: of its component, else of words such as `120/80 mmHg`."""
        value = next(each for each in self.declaration.columns if each.name == "value")
        result = read_result(self.kinds(value), self.writer)
        of_words = f"{NUMBER} = 0 AND {result}.kind = 'pressure'"
        read = {name: f"{result}.{name}", f"{name}_unit": f"{result}.unit"}
        (text,) = (self.writer.let(each.sql) for each in made if each.name == f"{name}_text")
        made = [
            replace(each, sql=f"coalesce({each.sql}, {sql.number(text)})")
            if each.name == name and text != sql.NOTHING
            else each
            for each in made
        ]
        made = [
            replace(each, sql=f"coalesce({each.sql}, CASE WHEN {of_words} THEN {read[each.name]} END)")
            if each.name in read
            else each
            for each in made
        ]
        return [*made, *canonical(name, made, sql.literal(PRESSURES[name]), self.writer)]

    def about_value(self, kinds: dict[str, str]) -> list[Field]:
        """Whether there is a value, and of which type."""
        there = " OR ".join(
            f"({is_present(kind, each)} AND NOT {self.no_answer(kind, each)})"
            if kind == "CodeableConcept"
            else is_present(kind, each)
            for kind, each in kinds.items()
        )
        cases = " ".join(
            f"WHEN {each} IS NOT NULL THEN {sql.literal(kind)}" for kind, each in kinds.items() if each != sql.NOTHING
        )
        kind = f"CASE {cases} END" if cases else sql.NOTHING
        return [
            Field("value_type", "VARCHAR", kind, "The FHIR type of the value."),
            Field("has_value", "BOOLEAN", f"({there})", "Whether a value was sent, of whatever type."),
        ]

    def no_answer(self, kind: str, value: str) -> str:
        """Whether a concept is no value, but a code of the reasons why there is none."""
        if kind != "CodeableConcept" or value == sql.NOTHING:
            return "false"
        return self.writer.let(f"coalesce({value}.coding[1].system = {sql.literal(ABSENT_SYSTEM)}, false)")

    def with_reason(self, made: list[Field], concept: str) -> list[Field]:
        """The reason why there is no value, also where only an extension of the value says it."""
        value = next(each for each in self.declaration.columns if each.name == "value")
        reasons = [
            reason for kind, each in self.kinds(value).items() for reason in absent_reasons(kind, each, self.lacks)
        ]
        reasons += [sql.absent_reason(sql.quoted(each)) for each in self.sides(value)]
        reasons += [
            f"CASE WHEN {self.no_answer(kind, each)} THEN {each}.coding[1].code END"
            for kind, each in self.kinds(value).items()
            if kind == "CodeableConcept" and each != sql.NOTHING
        ]
        reasons = reasons or ["CAST(NULL AS VARCHAR)"]
        reason = self.writer.let(f"coalesce({', '.join(reasons)})")
        said = self.writer.let(is_present("CodeableConcept", concept))
        is_code = self.writer.let(f"regexp_full_match({reason}, '[a-z]+(-[a-z]+)*')")
        changed = {
            "data_absent_reason_code": f"CASE WHEN {is_code} THEN {reason} END",
            "data_absent_reason_system": f"CASE WHEN {is_code} THEN {sql.literal(ABSENT_SYSTEM)} END",
            "data_absent_reason_text": f"CASE WHEN NOT {is_code} THEN {reason} END",
        }
        return [
            Field(each.name, each.type, f"CASE WHEN {said} THEN {each.sql} ELSE {changed[each.name]} END", each.about)
            if each.name in changed
            else each
            for each in made
        ]

    def sides(self, declared: Declared) -> list[str]:
        """The columns of the extensions beside the primitives of an element."""
        names: dict[str, None] = {}
        for resource in self.declaration.resources:
            for column in view_columns(declared, resource):
                if column.type == "Extension" and column.name not in self.absent_columns:
                    names[column.name] = None
        return list(names)

    def absent(self) -> Field:
        """Which elements are missing for a reason that an extension tells."""
        found: list[tuple[str, str]] = []
        for declared in self.declaration.declared:
            if declared.many or declared.name in {"value", "data_absent_reason", "subject"}:
                continue
            reasons = [sql.absent_reason(sql.quoted(each)) for each in self.sides(declared)]
            names = {
                column.name: column.type
                for resource in self.declaration.resources
                for column in declared.view_columns(resource)
                if column.name not in self.absent_columns
            }
            reasons += [
                reason for name, kind in names.items() for reason in absent_reasons(kind, sql.quoted(name), self.lacks)
            ]
            if reasons:
                found.append((declared.name, self.writer.let(f"coalesce({', '.join(reasons)})")))
        members = ", ".join(f"{{'element': {sql.literal(name)}, 'reason': {reason}}}" for name, reason in found)
        any_ = " OR ".join(f"{reason} IS NOT NULL" for _, reason in found)
        listed = f"CASE WHEN {any_} THEN list_filter([{members}], lambda p: p.reason IS NOT NULL) END"
        kind = "STRUCT(element VARCHAR, reason VARCHAR)[]"
        made = f"CAST({listed} AS {kind})" if found else sql.NOTHING
        return Field("absent", kind, made, "What the sender left out, and the reason given for it.")

    def unread_dates(self) -> Iterator[Field]:
        """The texts of dates that are none, in a table that has dates."""
        declared = {column.type for each in self.declaration.declared for column in _view_columns_of(each)}
        if declared.isdisjoint(_DATED):
            return
        kind = "STRUCT(element VARCHAR, text VARCHAR)[]"
        about = "What stood in place of a date and could not be read as one, by column."
        unread = self.writer.unread
        if not unread:
            yield Field("unread_dates", kind, sql.NOTHING, about)
            return
        members = ", ".join(
            f"{{'element': {sql.literal(name)}, 'text': CASE WHEN {is_so} THEN {text} END}}"
            for name, (text, is_so) in unread.items()
        )
        any_ = " OR ".join(is_so for _, is_so in unread.values())
        listed = f"CASE WHEN {any_} THEN list_filter([{members}], lambda p: p.text IS NOT NULL) END"
        yield Field("unread_dates", kind, f"CAST({listed} AS {kind})", about)

    # -- the common columns -------------------------------------------------------------------------------------------

    def concept(self) -> str:
        """What the row is about, as a CodeableConcept; of a medication that is pointed at, that of the Medication."""
        declared = self.declaration.common["code"]
        kinds = self.kinds(declared)
        if "Reference" in kinds:
            key = self.before.let(reference_key(kinds["Reference"], self.before))
            self.joins.append(f"LEFT JOIN {NAMED} AS drug ON drug.key = held.{key}")
            self.looked_up.append(
                "drug.concept AS drug_concept, drug.display AS drug_name, coalesce(drug.parts, 0) AS drug_parts"
            )
            own = kinds["CodeableConcept"]
            said = self.writer.let(is_present("CodeableConcept", own))
            self.writer.remark(
                "code-of-one-ingredient", f"(drug_parts > 1 AND NOT {said} AND len(drug_concept.coding) > 0)"
            )
            return self.writer.let(f"CASE WHEN {said} THEN {own} ELSE drug_concept END")
        (expression, *_) = kinds.values()
        return self.writer.let(first_concept(expression)) if declared.many else expression

    def drug_display(self) -> str:
        """What a medication that is pointed at is called."""
        reference = self.kinds(self.declaration.common["code"])["Reference"]
        return f"coalesce({sql.words(f'{reference}.display')}, drug_name)"

    def all_codings(self, own: str) -> str:
        """All codings of what the row is about: of every concept, where several say it."""
        declared = self.declaration.common["code"]
        if not declared.many:
            return own
        (expression, *_) = self.kinds(declared).values()
        return codings_of(self.flattened(expression), self.writer)

    def flattened(self, concepts: str) -> str:
        """The codings of all concepts."""
        return self.writer.let(f"flatten(list_transform({concepts}, lambda p: p.coding))")

    def system_columns(self, codings: str) -> list[Field]:
        """For each system of the table, the code of it, wherever it stands; and the medication's own columns."""
        declared = self.declaration.common["code"]
        if declared.many:
            codings = self.flattened(next(iter(self.kinds(declared).values())))
        made = [
            Field(f"{name}_code", "VARCHAR", code_of(codings, name), f"The {title(name)} code, where one was sent.")
            for name in self.declaration.systems
        ]
        kinds = self.kinds(declared)
        if "Reference" in kinds:
            made += fields("medication", {"Reference": kinds["Reference"]}, self.writer, about="The Medication.")
        return made

    def status(self, name: str) -> tuple[str | None, str | None]:
        """The status as a code, and all that is said of it, as FHIR writes codes, where it is a concept.

        Of several codings FHIR's own counts; where none is, a display or a text that is one of its codes in words.
        """
        if name not in self.declaration.common:
            return None, None
        declared = self.declaration.common[name]
        ((kind, expression),) = self.kinds(declared).items()
        if kind != "CodeableConcept":
            return self.writer.let(sql.words(expression)), None
        code, _, display, said, _ = fields(name, {kind: expression}, self.writer)
        given = f"list_transform({expression}.coding, lambda p: [p.code, p.display])"
        every = f"flatten([flatten({given}), [{expression}.text]])"
        as_code = "replace(replace(lower(trim(p)), ' ', '-'), '_', '-')"
        listed = self.writer.let(f"list_transform({every}, lambda p: {as_code})")
        resource = self.declaration.resources[0]
        codes = r4().required_codes(r4().children(resource)[_base(declared)]) or ()
        known = f"list_filter({listed}, lambda p: p IN ({', '.join(map(sql.literal, sorted(codes)))}))[1]"
        return self.writer.let(f"coalesce({known}, {code.sql}, {said.sql}, {display.sql})"), listed

    def dates(self) -> tuple[list[Field], list[Field], list[Field]]:
        """Start and end of when it is true of the person, and the columns of what is no date: ages, ranges, words."""
        common, writer = self.declaration.common, self.writer
        starts: list[str] = []
        ends: list[str] = []
        own: list[Field] = []
        for key in ("effective", "end"):
            if key not in common:
                continue
            declared = common[key]
            base = _base(declared)
            kinds = self.kinds(declared)
            begun, ended = _bounds(kinds)
            if key == "effective":
                starts, ends = begun, ended
                if "end" in common and ended:
                    own += self.beside(f"{base}_end", ended[0])
                    ends = []
            else:
                instants = [each for kind, each in kinds.items() if kind in {"dateTime", "date", "instant"}]
                ends = [*instants, *ended]
                if "Period" in kinds:
                    own += self.beside(f"{base}_start", sql.member(kinds["Period"], "start"))
            if "string" in kinds:
                in_words = self.date_in_words(kinds["string"])
                (starts if key == "effective" else ends).append(in_words)
            others = {kind: each for kind, each in kinds.items() if kind not in _DATED or kind == "Timing"}
            if others:
                own += fields(base, others, writer, about="When, in other words than a date.", choice=True)
        start = fields("effective_start", {"dateTime": self.text(starts)}, writer)
        return start, fields("effective_end", {"dateTime": self.text(ends)}, writer), own

    def date_in_words(self, words: str) -> str:
        """A text that is a date to the day, written as FHIR writes dates; it stands among the words too."""
        if words == sql.NOTHING:
            return sql.NOTHING
        is_date = self.writer.let(rf"regexp_full_match({words}, '\d{{4}}-\d\d-\d\d(T\d\d:\d\d\S*)?')")
        self.writer.remark("date-in-words", is_date)
        return f"CASE WHEN {is_date} THEN {words} END"

    def beside(self, name: str, text: str) -> list[Field]:
        """A date beside start and end."""
        return fields(name, {"dateTime": text}, self.writer, about="A date beside those of the row.")

    def text(self, texts: list[str]) -> str:
        """The first text that is there."""
        found = sql.first_of(texts)
        return self.writer.let(found) if found.startswith("coalesce(") else found

    def moment(self, name: str) -> str:
        """A common column that is an instant."""
        if name not in self.declaration.common:
            return "NULL::TIMESTAMPTZ"
        texts = list(self.kinds(self.declaration.common[name]).values())
        return fields(f"{name}_at", {"dateTime": self.text(texts)}, self.writer)[0].sql

    def visit(self) -> tuple[str, str]:
        """The visit's key, and when it began."""
        if "encounter" not in self.declaration.common:
            return "NULL::VARCHAR", "NULL::TIMESTAMPTZ"
        kinds = self.kinds(self.declaration.common["encounter"])
        if all(each == sql.NOTHING for each in kinds.values()):
            return sql.NOTHING, sql.NOTHING
        made = fields("encounter", kinds, self.before)[0].sql
        key = self.before.let(f"{made}") if not made.startswith("pre") else made
        self.joins.append(f"LEFT JOIN {NAMED} AS visit ON visit.key = held.{key}")
        self.looked_up.append("visit.start AS visit_start")
        return key, sql.instant("visit_start")

    def negated(
        self, status: str | None, error: str | None, error_codings: str | None, codings: str, words: tuple[str, ...]
    ) -> str:
        """Whether the row says that something is not so."""
        said: list[str] = []
        negated = self.declaration.negated
        for resource, words_of in negated.get("status", {}).items():
            listed = ", ".join(map(sql.literal, words_of))
            said.append(f"(resource_type = {sql.literal(resource)} AND {status} IN ({listed}))")
        for code in negated.get("error", ()):
            said += [f"{error} = {sql.literal(code)}", f"list_contains({error_codings}, {sql.literal(code)})"]
        if "flag" in negated and negated["flag"] not in self.absent_columns:
            said.append(f"{sql.quoted(negated['flag'])} = 'true'")
        if "no_known" in negated:
            nothing, unknown = (
                self.writer.let(_any(_says(_negations()[each], codings, words)))
                for each in (negated["no_known"], "unknown")
            )
            self.writer.remark("nothing-known", unknown)
            said += [nothing, unknown]
        return _any(said)

    def remarks(self) -> str:
        """What could not be read of the row."""
        found: dict[str, list[str]] = {}
        for writer in (self.before, self.writer):
            for rule, conditions in writer.remarks.items():
                found.setdefault(rule, []).extend(conditions)
        named = {rule: self.writer.let(" OR ".join(dict.fromkeys(each))) for rule, each in sorted(found.items())}
        if not named:
            return "CAST([] AS VARCHAR[])"
        listed = ", ".join(f"CASE WHEN {each} THEN {sql.literal(rule)} END" for rule, each in named.items())
        return (
            f"CASE WHEN {' OR '.join(named.values())}"
            f" THEN list_filter([{listed}], lambda p: p IS NOT NULL) ELSE CAST([] AS VARCHAR[]) END"
        )


def _any(conditions: list[str]) -> str:
    return (
        f"coalesce({' OR '.join(f'coalesce({each}, false)' for each in conditions)}, false)" if conditions else "false"
    )


def _says(known: Mapping[str, Any], codings: str, words: Sequence[str]) -> list[str]:
    """Whether a coding, or words as a whole, are among those of `negations.json`."""
    codes = ", ".join(map(sql.literal, known["codes"]))
    coded = f"len(list_filter({codings}, lambda p: p.code IN ({codes}))) > 0"
    return [coded, *(f"regexp_full_match({each}, {sql.literal(known['words'])})" for each in words)]


def _view_columns_of(declared: Declared) -> Iterator[ViewColumn]:
    return (column for found in declared.alternatives.values() for each in found for column in each)


def _base(declared: Declared) -> str:
    """What an element is called in FHIR: the first step of its path."""
    (path, *_) = [column.path for several in declared.alternatives.values() for each in several for column in each]
    return path.partition(".")[0]


def _bounds(kinds: dict[str, str]) -> tuple[list[str], list[str]]:
    """The texts at which an element begins and ends, the first that is there counts."""
    starts: list[str] = []
    ends: list[str] = []
    for kind, each in kinds.items():
        if kind in {"dateTime", "date", "instant"}:
            starts.append(each)
        elif each == sql.NOTHING and kind in {"Period", "Timing"}:
            starts.append(each)
            ends.append(each)
        elif kind == "Period":
            starts.append(f"{each}.start")
            ends.append(f'{each}."end"')
        elif kind == "Timing":
            bounds = f'{each}."repeat".boundsPeriod'
            starts += [f"{each}.event[1]", f"{bounds}.start"]
            ends += [f"CASE WHEN len({each}.event) > 1 THEN {each}.event[-1] END", f'{bounds}."end"']
    return starts, ends


@cache
def _negations() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("schemas").joinpath("negations.json").read_text(encoding="utf-8"))
    return content
