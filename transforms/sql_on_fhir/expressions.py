"""From the tree of an expression to SQL, with the type and cardinality that R4 gives each step."""

from __future__ import annotations

from dataclasses import replace

from transforms.sql_on_fhir import operators
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions import FUNCTIONS
from transforms.sql_on_fhir.hints import near
from transforms.sql_on_fhir.literals import literal
from transforms.sql_on_fhir.syntax import (
    Binary,
    Call,
    Expression,
    Index,
    Literal,
    Member,
    TypeTest,
    Unary,
    Variable,
)
from transforms.sql_on_fhir.values import EMPTY, Value, made
from transforms.sql_on_fhir.workshop import Scope, Workshop

MAX_SQL = 1_000_000
"""Characters of SQL that one expression may become."""


class Evaluator(Workshop):
    """The workshop at work: every kind of expression, taken to its value."""

    def evaluate(self, tree: Expression, scope: Scope) -> Value:
        """The value of an expression.

        Raises:
            ExpressionFault: CH303 to CH306, with the offset of the part at fault.
        """
        value = self.evaluated(tree, scope)
        if len(value.sql) + len(value.guard or "") > MAX_SQL:
            raise ExpressionFault("CH302", tree.position, "so much is nested here that its SQL grows too long")
        return value

    def evaluated(self, tree: Expression, scope: Scope) -> Value:
        """The value of an expression, however long its SQL."""
        match tree:
            case Literal():
                return literal(tree)
            case Variable():
                return self.variable(tree, scope)
            case Member():
                return self.step(tree, scope)
            case Call():
                return self.call(tree, scope)
            case Index():
                return self.index(tree, scope)
            case Unary():
                return operators.sign(self, tree, self.evaluate(tree.operand, scope))
            case Binary():
                left, right = self.evaluate(tree.left, scope), self.evaluate(tree.right, scope)
                return operators.binary(self, tree, left, right)
            case TypeTest():
                operand = self.evaluate(tree.operand, scope)
                if tree.operator == "is":
                    return self.is_type(operand, tree.type_name, tree.position)
                return self.of_type(operand, tree.type_name, tree.position)

    def step(self, tree: Member, scope: Scope) -> Value:
        """`target.name`; the first step may also name the type of the resource itself."""
        if tree.target is not None:
            target = self.evaluate(tree.target, scope)
        elif scope.this.root and scope.this.type and tree.name == scope.this.type.name:
            return scope.this
        else:
            target = scope.this
        return self.member(target, tree.name, tree.position, lenient=scope.lenient)

    def variable(self, tree: Variable, scope: Scope) -> Value:
        """`$this`, `$index`, `%rowIndex`, `%context`, `%resource` or a constant."""
        match tree.name:
            case "$this" | "%context":
                return scope.this
            case "$index" if scope.index:
                return made(scope.index, "integer")
            case "%rowIndex":
                return made(scope.row_index, "integer")
            case "%resource" | "%rootResource":
                return scope.root
            case "%ucum":
                return literal(Literal("string", "http://unitsofmeasure.org", tree.position))
        name = tree.name.removeprefix("%")
        if tree.name.startswith("$") or name not in self.constants:
            kind = "variable" if tree.name.startswith("$") else "constant"
            raise ExpressionFault("CH306", tree.position, f"there is no {kind} {tree.name}{near(name, self.constants)}")
        return literal(self.constants[name])

    def call(self, tree: Call, scope: Scope) -> Value:
        """A function of the table in `functions`."""
        function = FUNCTIONS.get(tree.name)
        if function is None:
            meant = near(tree.name, FUNCTIONS)
            raise ExpressionFault("CH305", tree.position, f"there is no function {tree.name}() here{meant}")
        if not function.least <= len(tree.arguments) <= function.most:
            raise ExpressionFault(
                "CH305", tree.position, f"{tree.name}() does not take {len(tree.arguments)} arguments"
            )
        target = self.evaluate(tree.target, scope) if tree.target is not None else scope.this
        return function.run(self, target, tree, scope)

    def index(self, tree: Index, scope: Scope) -> Value:
        """`target[index]`: one item, or nothing."""
        target = self.evaluate(tree.target, scope)
        at = self.evaluate(tree.index, scope)
        if target.type is None or at.type is None:
            return EMPTY
        if at.family != "integer":
            raise ExpressionFault("CH304", tree.position, f"an index is an integer, not {at.label}")
        known = at.literal.value if at.literal is not None else None
        if isinstance(known, int):
            if known < 0:
                return replace(self.item(target, "1") if target.many else target, guard="false")
            if not target.many:
                return target if known == 0 else replace(target, guard="false")
            return self.item(target, str(known + 1))
        number = self.number(self.one(at))
        if not target.many:
            return replace(target.plain(), guard=f"{number} = 0")
        at_sql = self.apart(number, lambda given: f"TRY({given} + 1)")
        return replace(self.item(target, at_sql), guard=f"{number} >= 0")
