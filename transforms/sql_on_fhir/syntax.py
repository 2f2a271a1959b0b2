"""The syntax of the FHIRPath subset: a typed tree, and the Pratt parser that makes it.

Source: FHIRPath N1 (http://hl7.org/fhirpath/N1), its grammar and operator precedence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal as OneOf

from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.temporal import in_calendar

MAX_LENGTH = 10_000
MAX_DEPTH = 60
MAX_HEIGHT = 300
OPERATOR_HEIGHT = 3
"""How much of MAX_HEIGHT an operator takes that is not a logical one: it becomes several levels of SQL."""

LiteralKind = OneOf["string", "integer", "decimal", "boolean", "date", "dateTime", "time", "quantity", "empty"]


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. `value` is the text of a string or temporal literal, without quotes or `@`; `unit` a quantity's."""

    kind: LiteralKind
    value: str | bool | int | Decimal | None
    position: int
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """`$this`, `$index`, or `%name` (without its sign in `name`)."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`; no target means the focus."""

    target: Expression | None
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """`target.name(arguments)`; no target means the focus."""

    target: Expression | None
    name: str
    arguments: tuple[Expression, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Index:
    """`target[index]`, from 0."""

    target: Expression
    index: Expression
    position: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-operand` or `+operand`."""

    operator: str
    operand: Expression
    position: int


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`."""

    operator: str
    left: Expression
    right: Expression
    position: int


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`operand is Type` or `operand as Type`."""

    operator: str
    operand: Expression
    type_name: str
    position: int


Expression = Literal | Variable | Member | Call | Index | Unary | Binary | TypeTest

_CALENDAR = {
    f"{unit}{plural}": unit
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
}

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<datetime>@\d{4}(?:-\d\d(?:-\d\d)?)?T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)
  | (?P<date>@\d{4}(?:-\d\d(?:-\d\d)?)?)
  | (?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
  | (?P<decimal>\d+\.\d+)
  | (?P<integer>\d+)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<delimited>`(?:[^`\\]|\\.)*`)
  | (?P<external>%(?:[A-Za-z_][A-Za-z0-9_\-]*|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`))
  | (?P<dollar>\$[a-z]+)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)

_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/"}

# Binding powers, strongest last; `is`/`as` take a type on their right.
_POWERS = {
    "implies": 1,
    "or": 2,
    "xor": 2,
    "and": 3,
    "in": 4,
    "contains": 4,
    "=": 5,
    "~": 5,
    "!=": 5,
    "!~": 5,
    "<": 6,
    ">": 6,
    "<=": 6,
    ">=": 6,
    "|": 7,
    "is": 8,
    "as": 8,
    "+": 9,
    "-": 9,
    "&": 9,
    "*": 10,
    "/": 10,
    "div": 10,
    "mod": 10,
}
_SIGN_POWER = 11
_LOGIC = {"and", "or", "xor", "implies"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


@lru_cache(maxsize=1024)  # each view is compiled twice, and the same views again and again
def parse(text: str) -> Expression:
    """The tree of an expression.

    Raises:
        ExpressionFault: CH302 with the offset of the first thing that does not belong.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionFault("CH302", MAX_LENGTH, f"longer than {MAX_LENGTH:,} characters")
    tree = _Parser(_tokens(text), len(text)).whole()
    _check_height(tree)
    return tree


def _check_height(tree: Expression) -> None:
    """Refuse a tree so high that Python, or DuckDB with its limit of 1,000 levels, cannot follow it."""
    waiting = [(tree, 0)]
    while waiting:
        node, above = waiting.pop()
        height = above + (OPERATOR_HEIGHT if isinstance(node, Binary) and node.operator not in _LOGIC else 1)
        if height > MAX_HEIGHT:
            raise ExpressionFault("CH302", node.position, "too long a chain of steps or operators")
        waiting += [(part, height) for part in _parts(node)]


def _parts(node: Expression) -> list[Expression]:
    match node:
        case Member(target) | Call(target, _, ()):
            return [target] if target is not None else []
        case Call(target, _, arguments):
            return [*([target] if target is not None else []), *arguments]
        case Index(target, index):
            return [target, index]
        case Binary(_, left, right):
            return [left, right]
        case Unary(_, operand) | TypeTest(_, operand):
            return [operand]
        case _:
            return []


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionFault("CH302", position, f"unexpected character {text[position]!r}")
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(_Token(kind, match.group(), position))
        position = match.end()
    return tokens


def _unescape(body: str, position: int) -> str:
    def plain(match: re.Match[str]) -> str:
        sign = match.group(1)
        if len(sign) == 5:
            return chr(int(sign[1:], 16))
        if sign not in _ESCAPED:
            raise ExpressionFault("CH302", position + 1 + match.start(), f"unknown escape \\{sign}")
        return _ESCAPED[sign]

    text = _ESCAPE.sub(plain, body)
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")  # two halves make one character
    except UnicodeDecodeError:
        raise ExpressionFault("CH302", position, "half of a surrogate pair") from None


class _Parser:
    def __init__(self, tokens: list[_Token], end: int) -> None:
        self.tokens = tokens
        self.end = end
        self.at = 0
        self.depth = 0

    def whole(self) -> Expression:
        if not self.tokens:
            raise ExpressionFault("CH302", 0, "the expression is empty")
        tree = self.expression(0)
        token = self.peek()
        if token is not None:
            raise ExpressionFault("CH302", token.position, f"unexpected {token.text!r}")
        return tree

    def peek(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> _Token:
        token = self.peek()
        if token is None:
            raise ExpressionFault("CH302", self.end, "the expression ends too early")
        self.at += 1
        return token

    def sees(self, text: str) -> bool:
        token = self.peek()
        return token is not None and token.text == text and token.kind in {"sign", "name"}

    def expect(self, text: str) -> _Token:
        token = self.peek()
        if token is None or token.text != text:
            at, found = (self.end, "the end") if token is None else (token.position, repr(token.text))
            raise ExpressionFault("CH302", at, f"expected {text!r} and found {found}")
        return self.take()

    def expression(self, least: int) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionFault("CH302", self.tokens[self.at - 1].position, "nested too deeply")
        left = self.prefix()
        while True:
            token = self.peek()
            power = _POWERS.get(token.text) if token is not None and token.kind in {"sign", "name"} else None
            if token is None or power is None or power <= least:
                break
            self.take()
            if token.text in {"is", "as"}:
                left = TypeTest(token.text, left, self.type_name(), token.position)
            else:
                left = Binary(token.text, left, self.expression(power), token.position)
        self.depth -= 1
        return left

    def prefix(self) -> Expression:
        token = self.peek()
        if token is not None and token.kind == "sign" and token.text in "+-":
            self.take()
            return Unary(token.text, self.expression(_SIGN_POWER), token.position)
        tree = self.term()
        steps = 0
        while True:
            steps += 1
            if steps > 4 * MAX_DEPTH:
                raise ExpressionFault("CH302", self.tokens[self.at - 1].position, "too many steps")
            if self.sees("."):
                self.take()
                tree = self.step(tree)
            elif self.sees("["):
                opened = self.take()
                index = self.expression(0)
                self.expect("]")
                tree = Index(tree, index, opened.position)
            else:
                return tree

    def term(self) -> Expression:
        token = self.take()
        if token.text == "(" and token.kind == "sign":
            inner = self.expression(0)
            self.expect(")")
            return inner
        if token.text == "{" and token.kind == "sign":
            self.expect("}")
            return Literal("empty", None, token.position)
        if token.kind in {"name", "delimited", "dollar", "external"}:
            if token.kind == "name" and token.text in {"true", "false"} and not self.sees("("):
                return Literal("boolean", token.text == "true", token.position)
            self.at -= 1
            return self.step(None)
        return self.literal(token)

    def literal(self, token: _Token) -> Literal:
        match token.kind:
            case "string":
                return Literal("string", _unescape(token.text[1:-1], token.position), token.position)
            case "integer" | "decimal":
                return self.number(token)
            case "date":
                return self.moment("date", token, token.text[1:])
            case "datetime":
                return self.moment("dateTime", token, token.text[1:].removesuffix("T"))
            case "time":
                return self.moment("time", token, token.text[2:])
            case _:
                raise ExpressionFault("CH302", token.position, f"unexpected {token.text!r}")

    def moment(self, kind: LiteralKind, token: _Token, text: str) -> Literal:
        if not in_calendar(text):
            raise ExpressionFault("CH302", token.position, f"there is no such day or time as {token.text}")
        return Literal(kind, text, token.position)

    def number(self, token: _Token) -> Literal:
        following = self.peek()
        if following is not None and following.kind == "string":
            self.take()
            unit = _unescape(following.text[1:-1], following.position)
            return Literal("quantity", Decimal(token.text), token.position, unit)
        if following is not None and following.kind == "name" and following.text in _CALENDAR:
            self.take()
            return Literal("quantity", Decimal(token.text), token.position, _CALENDAR[following.text])
        if token.kind == "integer":
            return Literal("integer", int(token.text), token.position)
        return Literal("decimal", Decimal(token.text), token.position)

    def step(self, target: Expression | None) -> Expression:
        token = self.take()
        if token.kind in {"dollar", "external"} and target is None:
            name = token.text
            if token.kind == "external":
                name = name[1:]
                if name[0] in "'`":
                    name = _unescape(name[1:-1], token.position)
                name = "%" + name
            return Variable(name, token.position)
        if token.kind == "delimited":
            return Member(target, _unescape(token.text[1:-1], token.position), token.position)
        if token.kind != "name":
            raise ExpressionFault("CH302", token.position, f"expected a name and found {token.text!r}")
        if not self.sees("("):
            return Member(target, token.text, token.position)
        self.take()
        arguments: list[Expression] = []
        if not self.sees(")"):
            arguments.append(self.expression(0))
            while self.sees(","):
                self.take()
                arguments.append(self.expression(0))
        self.expect(")")
        return Call(target, token.text, tuple(arguments), token.position)

    def type_name(self) -> str:
        token = self.take()
        if token.kind not in {"name", "delimited"}:
            raise ExpressionFault("CH302", token.position, f"expected a type and found {token.text!r}")
        name = token.text.strip("`")
        if self.sees("."):
            self.take()
            name += "." + self.take().text.strip("`")
        return name
