"""Which category a resource belongs to: one declaration (`schemas/categories/`) as a function, as SQL, as FHIRPath.

    classify(resource, route) -> Classification      category or None, the rule that decided, the reason in words
    rule_sql(resource, type, route) -> str           an SQL expression: the id of the rule that decides, never NULL
    category_sql(resource, type, route) -> str       an SQL expression: the category, NULL for what is additional
    classified_sql(source, keys) -> str              a SELECT of all rows of a relation with both: the build's way
    where_of(table) -> list                          the `where` of a ViewDefinition of Observations, for FHIR routes
    constants_of(table) -> list                      the `constant` entries that this `where` needs
    rules() -> Mapping[str, Rule]                    every rule by its id: its category (None: additional), its reason
    tables_of(category, type) -> tuple               the tables in which a resource of that type is a row
    additional(classified) -> list                   what no category takes, counted by type and rule
    mapping_version() -> str                         what every row says it was classified by

The function and the SQL agree on everything, whatever its shape. FHIRPath sees what fits R4: where one value stands in
place of a list, or the route is the phone's, ask the SQL.
"""

from transforms.classification.additional import Additional, additional
from transforms.classification.classify import Classification, classify
from transforms.classification.declaration import Rule, mapping_version, rules, tables_of
from transforms.classification.fhirpath import constants_of, where_of
from transforms.classification.sql import category_sql, classified_sql, rule_sql

__all__ = [
    "Additional",
    "Classification",
    "Rule",
    "additional",
    "category_sql",
    "classified_sql",
    "classify",
    "constants_of",
    "mapping_version",
    "rule_sql",
    "rules",
    "tables_of",
    "where_of",
]
