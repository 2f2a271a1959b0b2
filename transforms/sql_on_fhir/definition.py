"""A ViewDefinition, checked and made typed: what the compiler works on.

Source: SQL on FHIR v2, StructureDefinition-ViewDefinition. Everything that is wrong with the definition itself is told
here, with its JSON path; what is wrong inside an expression is told by the compiler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir.errors import Remark, ViewError
from transforms.sql_on_fhir.hints import near, unknown_property
from transforms.sql_on_fhir.syntax import Literal
from transforms.sql_on_fhir.temporal import in_calendar
from transforms.sql_on_fhir.values import FAMILY, SQL_TYPES

if TYPE_CHECKING:
    from transforms.sql_on_fhir.compartment import Compartment

MAX_NESTING = 30

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}\Z")
_ANSI = re.compile(r"([A-Z]+(?: [A-Z]+)*)(?:\((\d{1,3})(?:,\s*(\d{1,2}))?\))?( WITH(?:OUT)? TIME ZONE)?\Z")
_ANSI_TYPES = {
    "BOOLEAN": "BOOLEAN",
    "SMALLINT": "SMALLINT",
    "INTEGER": "INTEGER",
    "INT": "INTEGER",
    "BIGINT": "BIGINT",
    "REAL": "REAL",
    "FLOAT": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "DOUBLE": "DOUBLE",
    "DECIMAL": "DECIMAL",
    "NUMERIC": "DECIMAL",
    "DEC": "DECIMAL",
    "CHARACTER": "VARCHAR",
    "CHAR": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "TEXT": "VARCHAR",
    "CHARACTER LARGE OBJECT": "VARCHAR",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
}
AS_SENT = "charthouse/as-sent"
_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_EXTRA = {"id", "extension", "modifierExtension"}
_PROPERTIES = (
    "resourceType resourceDefinition id meta implicitRules language text contained extension modifierExtension url "
    "identifier version "
    "versionAlgorithmString versionAlgorithmCoding name title status experimental date publisher contact description "
    "useContext jurisdiction purpose copyright copyrightLabel approvalDate lastReviewDate effectivePeriod topic author "
    "editor reviewer endorser relatedArtifact fhirVersion profile resource constant where select"
)
_VIEW = set(_PROPERTIES.split())
_RESOURCE_TYPE = re.compile(r"(?:https?://\S+/)?ViewDefinition(?:\|\S*)?\Z")
"""The plain name; of 2.0 also the address of the logical model, with a version or without."""
_OTHER_FHIR = re.compile(r"R?(?:[0-35-9]|1\d)(?:\D|\Z)")
"""A version of FHIR whose elements are not those of R4; 4.1 and 4.3 (R4B) are near enough."""
_COMMENT = re.compile(r"fhir_comments\Z|[^A-Za-z_]")
"""Properties that are comments: FHIR's own of before R4, and `//`, `#` or `$comment` of other JSON."""
_SELECT = {"column", "select", "forEach", "forEachOrNull", "repeat", "unionAll"} | _EXTRA
_WHERE = {"path", "description"} | _EXTRA
_TAG = {"name", "value"} | _EXTRA
_COLUMN = {"name", "path", "description", "collection", "type", "tag"} | _EXTRA
_CONSTANT_KINDS = {
    "string": "string",
    "integer": "integer",
    "decimal": "decimal",
    "boolean": "boolean",
    "date": "date",
    "dateTime": "dateTime",
    "time": "time",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is a FHIR datatype, None for that of the path; `sql_type` what an ansi/type tag asks for."""

    name: str
    path: str
    at: str
    type: str | None
    sql_type: str | None
    collection: bool
    description: str
    as_sent: bool = False
    """Whether a primitive is wanted as the text that was sent, whatever JSON type that had (a tag of ours)."""


@dataclass(frozen=True, slots=True)
class Select:
    """One selection structure; at most one of `for_each` and `repeat` is there."""

    at: str
    columns: tuple[Column, ...]
    selects: tuple[Select, ...]
    unions: tuple[Select, ...]
    for_each: str | None = None
    or_null: bool = False
    repeat: tuple[str, ...] = ()

    @property
    def expressions(self) -> dict[str, str]:
        """The FHIRPath expressions in here by their JSON paths."""
        found = {f"{column.at}.path": column.path for column in self.columns}
        if self.for_each is not None:
            found[f"{self.at}.{'forEachOrNull' if self.or_null else 'forEach'}"] = self.for_each
        found |= {f"{self.at}.repeat[{i}]": path for i, path in enumerate(self.repeat)}
        for part in (*self.selects, *self.unions):
            found |= part.expressions
        return found

    @property
    def walks(self) -> bool:
        """Whether `repeat` stands anywhere in here."""
        return bool(self.repeat) or any(part.walks for part in (*self.selects, *self.unions))


@dataclass(frozen=True, slots=True)
class View:
    """A ViewDefinition. `where` holds expressions with their JSON paths."""

    resource: str
    name: str | None
    selects: tuple[Select, ...]
    where: tuple[tuple[str, str], ...]
    constants: Mapping[str, Literal]
    remarks: tuple[Remark, ...] = ()
    """What the definition says in vain (CH322, CH323)."""
    compartment: Compartment | None = None
    """Whose resources alone count; set by who runs the view, not by the view."""

    @property
    def expressions(self) -> dict[str, str]:
        """The FHIRPath expressions by their JSON paths."""
        found = {at: path for path, at in self.where}
        for part in self.selects:
            found |= part.expressions
        return found


def read(definition: object) -> View:
    """The definition, typed.

    Raises:
        ViewError: CH301, CH304, CH306, CH308 or CH310, at the JSON path of the fault.
    """
    view = _object(definition, "$")
    _check_properties(view)
    if not _RESOURCE_TYPE.match(_text(view, "resourceType", "$", optional=True) or "ViewDefinition"):
        raise ViewError("CH301", "$.resourceType", message="'ViewDefinition' is due here")
    if _text(view, "status", "$", optional=True) not in {"", "draft", "active", "retired", "unknown"}:
        raise ViewError("CH301", "$.status", message="draft, active, retired or unknown is due here")
    resource = _text(view, "resource", "$")
    if resource not in r4().resources:
        meant = near(resource, r4().resources)
        raise ViewError("CH310", "$.resource", message=f"not the name of a resource type of R4{meant}")
    name = _text(view, "name", "$", optional=True)
    where = tuple(_where(entry, f"$.where[{i}]") for i, entry in enumerate(_array(view, "where", "$")))
    selects = _selects(view, "select", "$", 0)
    if not selects:
        raise ViewError("CH301", "$.select", message="at least one select is due")
    found = View(resource, name or None, selects, where, _constants(view), tuple(_remarks(view)))
    _check_names(column_names(found.selects))
    return found


def _where(entry: object, at: str) -> tuple[str, str]:
    part = _object(entry, at)
    return _text(part, "path", at), f"{at}.path"


def column_names(selects: Sequence[Select]) -> list[tuple[str, str]]:
    """The columns in their order (name, JSON path): own ones, then those of `select`, then those of `unionAll`."""
    names = []
    for part in selects:
        names += [(column.name, column.at) for column in part.columns]
        names += column_names(part.selects)
        if part.unions:
            names += column_names(part.unions[:1])
    return names


def _check_names(names: list[tuple[str, str]]) -> None:
    if not names:
        raise ViewError("CH301", "$.select", message="the view has no column")
    seen: set[str] = set()
    for name, at in names:
        if name.lower() in seen:
            raise ViewError("CH308", f"{at}.name", message=f"a second column is named {name!r} (case does not tell)")
        seen.add(name.lower())


def _selects(parent: Mapping[str, Any], key: str, at: str, depth: int) -> tuple[Select, ...]:
    if depth > MAX_NESTING:
        raise ViewError("CH301", f"{at}.{key}", message="nested too deeply")
    return tuple(_select(entry, f"{at}.{key}[{i}]", depth) for i, entry in enumerate(_array(parent, key, at)))


def _select(entry: object, at: str, depth: int) -> Select:
    part = _object(entry, at)
    iterators = [key for key in ("forEach", "forEachOrNull", "repeat") if key in part]
    if len(iterators) > 1:
        raise ViewError("CH301", f"{at}.{iterators[1]}", message=f"{' and '.join(iterators)} exclude each other")
    for_each = None
    if "forEach" in part or "forEachOrNull" in part:
        for_each = _text(part, iterators[0], at)
    repeat: tuple[str, ...] = ()
    if "repeat" in part:
        entries = _array(part, "repeat", at)
        repeat = tuple(_text({"repeat": entry}, "repeat", at, f"[{i}]") for i, entry in enumerate(entries))
        if not repeat:
            raise ViewError("CH301", f"{at}.repeat", message="at least one path is due")
    columns = tuple(_column(entry, f"{at}.column[{i}]") for i, entry in enumerate(_array(part, "column", at)))
    unions = _selects(part, "unionAll", at, depth + 1)
    _check_union(unions)
    return Select(
        at=at,
        columns=columns,
        selects=_selects(part, "select", at, depth + 1),
        unions=unions,
        for_each=for_each,
        or_null="forEachOrNull" in part,
        repeat=repeat,
    )


def _check_union(unions: tuple[Select, ...]) -> None:
    if not unions:
        return
    expected = [name for name, _ in column_names(unions[:1])]
    if not expected:
        raise ViewError("CH308", unions[0].at, message="a branch of a union has at least one column")
    for branch in unions[1:]:
        names = [name for name, _ in column_names([branch])]
        if names != expected:
            raise ViewError(
                "CH308",
                branch.at,
                message=f"the branch has the columns ({', '.join(names)}), the first one has ({', '.join(expected)})",
            )


def _column(entry: object, at: str) -> Column:
    part = _object(entry, at)
    name = _text(part, "name", at)
    if not _NAME.match(name):
        raise ViewError("CH308", f"{at}.name", message="a name starts with a letter and holds letters, digits and _")
    collection = part.get("collection", False)
    if not isinstance(collection, bool):
        raise ViewError("CH301", f"{at}.collection", message="a boolean is due")
    kind = _text(part, "type", at, optional=True).removeprefix(_STRUCTURE) or None
    if kind is not None and kind not in SQL_TYPES and not _is_complex(kind):
        meant = near(kind, SQL_TYPES)
        known = "a resource: name its parts" if kind in r4().types else f"not a FHIR type{meant}"
        raise ViewError("CH304", f"{at}.type", message=f"{kind!r} is {known}")
    return Column(
        name=name,
        path=_text(part, "path", at),
        at=at,
        type=kind,
        sql_type=_ansi_type(part, at),
        collection=collection,
        description=_text(part, "description", at, optional=True),
        as_sent=any(tag.get("name") == AS_SENT for tag in _array(part, "tag", at)),
    )


def _is_complex(kind: str) -> bool:
    known = r4().types.get(kind)
    return known is not None and known.kind == "complex-type"


def _ansi_type(part: Mapping[str, Any], at: str) -> str | None:
    for i, entry in enumerate(_array(part, "tag", at)):
        tag = _object(entry, f"{at}.tag[{i}]")
        if tag.get("name") != "ansi/type":
            continue
        value = _text(tag, "value", f"{at}.tag[{i}]")
        match = _ANSI.match(" ".join(value.upper().split()))
        base = _ANSI_TYPES.get(match.group(1) + (match.group(4) or "")) if match else None
        if match is None or base is None:
            raise ViewError("CH304", f"{at}.tag[{i}].value", message="not a type of the ANSI standard known here")
        if base == "DECIMAL":
            width, scale = int(match.group(2) or 18), int(match.group(3) or 0)
            if not (1 <= width <= 38 and scale <= width):
                raise ViewError("CH304", f"{at}.tag[{i}].value", message="at most 38 digits, the scale among them")
            return f"DECIMAL({width}, {scale})"
        return base
    return None


def _constants(view: Mapping[str, Any]) -> dict[str, Literal]:
    constants: dict[str, Literal] = {}
    for i, entry in enumerate(_array(view, "constant", "$")):
        at = f"$.constant[{i}]"
        part = _object(entry, at)
        name = _text(part, "name", at)
        if not _NAME.match(name):
            raise ViewError(
                "CH306", f"{at}.name", message="a name starts with a letter and holds letters, digits and _"
            )
        if name in constants or name in {"rowIndex", "resource", "context", "rootResource", "ucum"}:
            raise ViewError("CH306", f"{at}.name", message=f"%{name} has a meaning already")
        values = [key for key in part if str(key).startswith("value")]
        if len(values) != 1:
            raise ViewError("CH306", at, message=f"%{name} has {len(values)} values; exactly one is due")
        constants[name] = _constant(part[values[0]], values[0].removeprefix("value"), f"{at}.{values[0]}")
    return constants


def _constant(value: object, kind: str, at: str) -> Literal:
    kind = kind[:1].lower() + kind[1:]
    family = FAMILY.get(kind)
    if family is None:
        raise ViewError("CH306", at, message="a constant is of a FHIR primitive type, and refers to nothing else")
    match family:
        case "boolean" if isinstance(value, bool):
            return Literal("boolean", value, 0)
        case "integer" if isinstance(value, int | str) and not isinstance(value, bool):
            number = _decimal(value)
            if number is not None and number == number.to_integral_value() and abs(number) < 2**63:
                return Literal("integer", int(number), 0)
        case "decimal" if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
            number = _decimal(value)
            if number is not None:
                return Literal("decimal", number, 0)
        case "string" | "date" | "dateTime" | "time" if isinstance(value, str):
            if family == "string" or (_TEMPORAL[family].match(value) and in_calendar(value)):
                return Literal(_CONSTANT_KINDS[family], value, 0)  # type: ignore[arg-type]
    raise ViewError("CH306", at, message=f"not a value of type {kind}")


_DATE = r"\d{4}(-\d\d(-\d\d)?)?"
_TIME = r"\d\d:\d\d(:\d\d(\.\d+)?)?"
_TEMPORAL = {
    "date": re.compile(_DATE + r"\Z"),
    "dateTime": re.compile(rf"{_DATE}(?:(?<=-\d\d-\d\d)T{_TIME}(Z|[+-]\d\d:\d\d)?)?\Z"),
    "time": re.compile(_TIME + r"\Z"),
}


def _decimal(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _object(value: object, at: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ViewError("CH301", at, message="an object is due here")
    return value


def _array(parent: Mapping[str, Any], key: str, at: str, *, one: bool = False) -> Sequence[Any]:
    """A list; with `one`, also what should be the only item of one, for where it is only looked at."""
    value = parent.get(key, [])
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        if one:
            return [value]
        how = ": put [ ] around the object" if isinstance(value, Mapping) else ""
        raise ViewError("CH301", f"{at}.{key}", message=f"an array is due here{how}")
    return value


def _text(parent: Mapping[str, Any], key: str, at: str, suffix: str = "", *, optional: bool = False) -> str:
    value = parent.get(key, "")
    if not isinstance(value, str):
        raise ViewError("CH301", f"{at}.{key}{suffix}", message="a string is due here")
    if not value.strip() and not optional:
        raise ViewError("CH301", f"{at}.{key}{suffix}", message="missing or empty")
    return value


def _check_properties(view: Mapping[str, Any]) -> None:
    """Refuse what looks like another property misspelt, before anything is read: a misspelt `where` filters nothing."""
    for part, known, at in _parts(view):
        for key in _unknown(part, known):
            if fault := unknown_property(key, known):
                raise ViewError("CH301", at, message=fault)


def _remarks(view: Mapping[str, Any]) -> Iterator[Remark]:
    """What the definition says in vain: properties that the standard does not have, versions of FHIR but not R4."""
    for part, known, at in _parts(view):
        yield from (Remark("CH322", f"{at}.{_shown(key)}") for key in _unknown(part, known))
    versions = [version for version in _array(view, "fhirVersion", "$", one=True) if isinstance(version, str)]
    if versions and all(_OTHER_FHIR.match(version) for version in versions):
        yield Remark("CH323", "$.fhirVersion")


def _parts(view: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], set[str], str]]:
    """Every object of the definition that is the standard's own, what it may hold, and where it stands."""
    yield view, _VIEW, "$"
    for entry, at in _objects(view, "where", "$"):
        yield entry, _WHERE, at
    for entry, at in _objects(view, "constant", "$"):
        yield entry, {"name", *(key for key in entry if str(key).startswith("value"))} | _EXTRA, at
    waiting = list(_objects(view, "select", "$"))
    while waiting:
        part, at = waiting.pop(0)
        yield part, _SELECT, at
        for column, place in _objects(part, "column", at):
            yield column, _COLUMN, place
            yield from ((tag, _TAG, where) for tag, where in _objects(column, "tag", place))
        waiting += [*_objects(part, "select", at), *_objects(part, "unionAll", at)]


def _objects(parent: Mapping[str, Any], key: str, at: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The objects of a list; what is no list, or no object in it, is told where it is read."""
    entries = parent.get(key)
    for i, entry in enumerate(entries if isinstance(entries, Sequence) and not isinstance(entries, str) else ()):
        if isinstance(entry, Mapping) and at.count("[") <= MAX_NESTING:
            yield entry, f"{at}.{key}[{i}]"


def _unknown(part: Mapping[str, Any], known: set[str]) -> list[str]:
    """The properties that are none of the known ones, nor the extensions of one (`_name`), nor a comment."""
    return [
        str(key)
        for key in part
        if key not in known and str(key).removeprefix("_") not in known and not _COMMENT.match(str(key))
    ]


def _shown(key: str) -> str:
    return key if len(key) <= 60 else key[:59] + "…"
