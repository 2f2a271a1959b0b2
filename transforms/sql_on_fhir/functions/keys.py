"""Keys that join views: getResourceKey(), getReferenceKey()."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir import sql
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions.table import function
from transforms.sql_on_fhir.functions.types import type_argument
from transforms.sql_on_fhir.hints import near
from transforms.sql_on_fhir.syntax import Literal
from transforms.sql_on_fhir.values import EMPTY, Value, made

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Call, Expression
    from transforms.sql_on_fhir.workshop import Scope, Workshop

_ID = r"[^/?#|\s]+"
"""What stands for an id in a reference: more than R4 permits, so that keys of such resources join all the same."""

_URN = rf"^urn:(?:uuid|oid):({_ID})$"


@function("getResourceKey")
def get_resource_key(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """`Type/id` of the resource."""
    if target.type is None or target.type.name not in r4().resources:
        raise ExpressionFault("CH304", call.position, f"getResourceKey() is of a resource, not of {shop.label(target)}")
    key = shop.member(target, "id", call.position)
    start = sql.text(f"{target.type.name}/")
    return shop.each(key, lambda own: f"{start} || {shop.string(shop.element_of(key, own))}", "string")


@function("getReferenceKey", 0, 1)
def get_reference_key(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """`Type/id` of what a Reference points at; nothing for `#…`, a search, or another type.

    `urn:uuid:…` is the resource with that id: of the type asked for, or the only one that R4 lets stand there, or the
    one that the Reference names.
    """
    if target.type is None:
        return EMPTY
    if target.type.name != "Reference":
        raise ExpressionFault(
            "CH304", call.position, f"getReferenceKey() is of a Reference, not of {shop.label(target)}"
        )
    kind = _resource_argument(call.arguments[0]) if call.arguments else None
    kinds = {kind} if kind is not None else set(target.targets)
    if len(kinds) == 1 and "Resource" not in kinds:
        (only,) = kinds
        there = not target.targets or only in target.targets or "Resource" in target.targets
        named = sql.text(f"{only}/") if there else None
        references = shop.member(target, "reference", call.position)
        return shop.each(references, lambda text: shop.once(text, lambda once: _key(shop, once, kind, named)), "string")

    def of(reference: Value) -> str:
        text = shop.member(reference, "reference", call.position).single()
        kind_of_it = shop.string(shop.member(reference, "type", call.position))
        named = f"nullif(regexp_extract({kind_of_it}, '[A-Za-z]+$'), '') || '/'"
        return shop.once(text, lambda once: _key(shop, once, None, named))

    if not target.many:
        return made(of(target.plain()), "string")
    item = shop.fresh()
    each = f"list_transform({target.sql}, lambda {item}: {of(shop.element_of(target, item))})"
    return made(each, "string", many=True, sparse=True)


def _key(shop: Workshop, reference: str, kind: str | None, named: str | None) -> str:
    """SQL of a reference's key, for references of that type alone; `named` is SQL of what stands before a URN's id."""
    pattern = f"{kind or '[A-Z][A-Za-z]*'}/{_ID}"
    further = sql.text(f"^(?:https?://.*/)?({pattern})(?:/_history/.*)?$")
    if kind is None:
        relative = f"regexp_full_match({reference}, {sql.text(pattern)})"
        maybe, whole = f"contains({reference}, '/')", reference
    else:
        start = sql.text(f"{kind}/")
        begins = f"starts_with({reference}, {start})"
        relative = f"{begins} AND {reference} NOT LIKE {sql.text(f'{kind}/%/%')}"
        whole = f"nullif({reference}, {start})"
        maybe = f"{begins} OR contains({reference}, {sql.text(f'/{kind}/')})"
    # where the strict reader has an object or array in place of the reference, the other one is to say so
    stop = f"WHEN {sql.may_be_container(reference)} THEN error('CH320') " if shop.strict else ""
    urn = f"nullif(regexp_extract({reference}, {sql.text(_URN)}, 1), '')"
    within = f"WHEN starts_with({reference}, 'urn:') THEN {named} || {urn} " if named is not None else ""
    return (
        f"CASE WHEN {relative} THEN {whole} {stop}{within}"
        f"WHEN {maybe} THEN nullif(regexp_extract({reference}, {further}, 1), '') END"
    )


def _resource_argument(tree: Expression) -> str:
    """The type of resource that is asked for, which the standard's text also writes as a string."""
    named = isinstance(tree, Literal) and tree.kind == "string"
    kind = str(tree.value) if isinstance(tree, Literal) and named else type_argument(tree).removeprefix("FHIR.")
    if kind not in r4().resources:
        raise ExpressionFault("CH310", tree.position, f"there is no resource type {kind!r}{near(kind, r4().resources)}")
    return kind
