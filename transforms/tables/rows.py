"""What the columns of a table are made of: its views compiled and put together, what is looked up beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.sql_on_fhir import SqlRelation, compile_view
from transforms.sql_on_fhir.parts import parts_of, struct_type, without
from transforms.sql_on_fhir.values import FAMILY
from transforms.tables import text as sql
from transforms.tables.datatypes import Writer, is_present, typed_reference
from transforms.tables.declaration import Declaration, Declared, TableError
from transforms.tables.references import CARRIED, CATEGORY, OBSERVED, RESOURCES, SHOWN_AS
from transforms.tables.views import view_columns, view_of

if TYPE_CHECKING:
    from transforms.tables.presence import Presence


class Rows:
    """What the columns of a table are made of: the rows of its views, and what is named in them."""

    def __init__(self, declaration: Declaration, present: Presence | None = None) -> None:
        self.declaration = declaration
        self.present = present
        self.lacks = present.lacking(declaration) if present else frozenset()
        self.left_out = {
            resource: present.absent(declaration, resource) if present else frozenset()
            for resource in declaration.resources
        }
        """By resource type, the columns of its view that are empty."""
        self.absent_columns = self.empty_everywhere()
        self.before = Writer(prefix="pre", lacks=self.lacks)
        self.writer = Writer(lacks=self.lacks)
        self.joins: list[str] = []
        self.looked_up: list[str] = []

    def empty_everywhere(self) -> frozenset[str]:
        """The columns that no view gives. A list is NULL where its type has no such element, and else has no items."""
        found: dict[str, list[bool]] = {}
        lists: set[str] = set()
        for resource in self.declaration.resources:
            for declared in self.declaration.declared:
                for column in view_columns(declared, resource):
                    found.setdefault(column.name, []).append(column.name in self.left_out[resource])
                    if column.many:
                        lists.add(column.name)
        everywhere = len(self.declaration.resources)
        return frozenset(
            name for name, empty in found.items() if all(empty) and (name not in lists or len(empty) == everywhere)
        )

    def query(self) -> str:
        """The rows of the views, with what is looked up and what is used several times under a name."""
        rows = self.views()
        if len(self.declaration.resources) > 1 or self.declaration.rows:
            # DuckDB runs all that stands above a union once for each of its branches, and making ready for so many
            # columns costs more than the rows of a group: they are put together first.
            rows = f"WITH together AS MATERIALIZED (\n{rows}\n)\nFROM together"
        return self.completed(rows)

    def completed(self, rows: str) -> str:
        """The rows of the views, completed."""
        rows = self.before.layered(rows)
        if self.joins:
            rows = f"SELECT held.*, {', '.join(self.looked_up)}\nFROM (\n{rows}\n) AS held\n" + "\n".join(self.joins)
        return self.writer.layered(rows)

    def views(self) -> str:
        """The rows of the views of all resource types."""
        return "\nUNION ALL BY NAME\n".join(self.view_rows(resource) for resource in self.declaration.resources)

    def view_rows(self, resource: str) -> str:
        """The rows of one view, in the columns of all of them, and what every rule needs of a row."""
        left_out = self.left_out[resource]
        own = self.types([resource])
        listed = []
        for name, kind in self.types().items():
            if name not in own or name in left_out:
                empty = sql.NO_ITEMS if name in own and kind.endswith("]") else sql.NOTHING
                listed.append(f"{sql.typed(empty, kind)} AS {sql.quoted(name)}")
        subject = "subject.reference"
        listed += [
            "link_id || '/' || resource_type || '/' || resource_id AS resource_key",
            f"{subject} AS own_reference",
            f"{typed_reference(subject)} AS own_patient",
            "subject.display AS own_name",
        ]
        return f"SELECT *, {', '.join(listed)}\nFROM (\n{self.compiled(resource)}\n)"

    def compiled(self, resource: str) -> str:
        """The view's own SQL over its resources. Which category an Observation is of was decided before."""
        declaration, present = self.declaration, self.present
        definition = view_of(declaration, resource, self.left_out[resource])
        if declaration.rows is None:
            return compile_view(definition, SqlRelation(RESOURCES), carry=CARRIED, lacking=self.lacks)
        # A branch at a time: rows that a lambda puts together as structs would cost several times as much.
        definition = {name: part for name, part in definition.items() if name not in {"where", "constant"}}
        whole, union = definition["select"]
        of_itself, of_items = ({**definition, "select": [whole, branch]} for branch in union["unionAll"])
        carried, name = (*CARRIED, CATEGORY), sql.literal(f'"{declaration.rows}"')
        observed = SqlRelation(OBSERVED, resource_type=SHOWN_AS)
        itself = compile_view(of_itself, observed, carry=carried, lacking=self.lacks)
        if present is not None and not present.has_items(declaration, resource):
            return itself
        items = compile_view(of_items, SqlRelation("parted", resource_type=SHOWN_AS), carry=carried, lacking=self.lacks)
        return (
            f"WITH parted AS NOT MATERIALIZED (\nSELECT * FROM {OBSERVED} WHERE contains(resource, {name})\n)\n"
            f"SELECT * FROM (\n{itself}\n)\nUNION ALL BY NAME\nSELECT * FROM (\n{items}\n)"
        )

    def types(self, resources: list[str] | None = None) -> dict[str, str]:
        """The columns of the views of these resource types, and their DuckDB types."""
        found: dict[str, str] = {}
        for resource in resources or self.declaration.resources:
            for declared in self.declaration.declared:
                for column in view_columns(declared, resource):
                    if column.name in self.absent_columns:
                        continue
                    parts = parts_of(column.within)
                    item = "VARCHAR" if column.type in FAMILY else struct_type(without(parts, self.lacks) or parts)
                    kind = f"{item}[]" if column.many else item
                    if found.setdefault(column.name, kind) != kind:
                        raise TableError(f"{self.declaration.name}: {column.name} has two types")
        return found

    def kinds(self, declared: Declared) -> dict[str, str]:
        """The element's SQL by type: of several alternatives the first that says something."""
        found: dict[str, list[str]] = {}
        for resource in self.declaration.resources:
            for alternative in declared.alternatives.get(resource, ()):
                for column in alternative:
                    names = found.setdefault(column.type, [])
                    if column.name not in names:
                        names.append(column.name)
        return {kind: self.first(kind, names, many=declared.many) for kind, names in found.items()}

    def first(self, kind: str, names: list[str], *, many: bool) -> str:
        """The first of several columns that says something; what no resource has is nothing."""
        there = [sql.quoted(each) for each in names if each not in self.absent_columns]
        if len(names) == 1:
            return there[0] if there else sql.NO_ITEMS if many else sql.NOTHING
        if not there:
            return sql.NOTHING
        if many:
            return self.writer.let(f"CASE {' '.join(f'WHEN len({each}) > 0 THEN {each}' for each in there)} END")
        return self.writer.let(f"CASE {' '.join(f'WHEN {is_present(kind, each)} THEN {each}' for each in there)} END")
