"""What a proof looks for: collected before anything goes, and sealed with the request until the proof is done.

Hard needles are keys of ours: after an erasure they stand nowhere. Soft ones are what people know each other by: names,
addresses, ids of resources, texts. Others may hold the same by right (a shared doctor, the word for a disease), so what
is found in a living person's rows is no trace of the one who is gone. Words are names that are too short to be told
from chance in a file of bytes: they are looked for as whole words, in lines and columns of text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST: Final = 6
SHORTEST_NUMBER: Final = 8
"""Bytes of what is worth looking for; shorter ones, and numbers as short as these, occur by chance."""
SHORTEST_WORD: Final = 3
WINDOW: Final = 40
STRIDE: Final = 400
MOST_WINDOWS: Final = 8
"""Of a long text, this much is looked for about every so many characters, its beginning and its end at least."""
MOST_TEXTS: Final = 12_000
"""Texts looked for of one person; names and ids come first, then the longest."""
MOST_WORDS: Final = 500
DEEPEST: Final = 60

_DATE: Final = re.compile(r"\d{4}(-\d\d(-\d\d([T ][\d:.]+(Z|[+-]\d\d:?\d\d)?)?)?)?")
_NUMBER: Final = re.compile(r"[0-9a-fA-F.,:+() -]*")
_WORD: Final = re.compile(r"[A-Za-z]?[a-z]*([-_/ ]?[a-z]+)?")
"""One or two plain words: codes of FHIR, everyday words."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMES: Final = frozenset({"family", "given"})
_TITLES: Final = frozenset({"prefix", "suffix"})
_PLACES: Final = frozenset({"line", "city", "district", "postalCode"})
_OF_A_NAME: Final = frozenset({"name", "contact"})
_VALUED: Final = frozenset({"telecom", "identifier"})
_TEXTS: Final = re.compile(rb'"((?:[^"\\]|\\.){6,}?)"')


@dataclass(slots=True)
class Needles:
    """What is looked for. `short` counts what was too short, or too plain, to be looked for at all."""

    hard: set[bytes] = field(default_factory=set)
    names: set[bytes] = field(default_factory=set)
    words: set[bytes] = field(default_factory=set)
    ids: set[bytes] = field(default_factory=set)
    texts: set[bytes] = field(default_factory=set)
    short: int = 0

    @property
    def soft(self) -> set[bytes]:
        """Everything that others may hold as well."""
        return self.names | self.ids | self.texts

    def key(self, text: str | None) -> None:
        """A key of ours, or something as singular, as operators and their tools write it."""
        if text:
            bare = text.replace("-", "") if _UUID.fullmatch(text) else text
            self.hard.update(form.encode() for form in (text, text.upper(), bare, bare.upper()))

    def called(self, text: str | None) -> None:
        """A part of somebody's name: a short one is a word."""
        word = (text or "").strip()
        size = len(word.encode("utf-8", "replace"))
        if SHORTEST_WORD <= size < SHORTEST and len(word) > 1 and word.isalpha():
            self.words.update(form.encode("utf-8", "replace") for form in _cased(word))
        else:
            self.name(text)

    def name(self, text: str | None) -> None:
        """What somebody is called, or reached at."""
        if text and self._add(self.names, text, plain=False):
            for form in _cased(text.strip()):
                self._add(self.names, form, plain=False)

    def id(self, text: str | None) -> None:
        """An id that a provider gave."""
        self._add(self.ids, text, plain=False)

    def text(self, text: str) -> None:
        """Any text of a record."""
        self._add(self.texts, text, plain=True)

    def record(self, raw: bytes | str) -> None:
        """A resource, or a whole page of them; what cannot be read as JSON gives its quoted texts."""
        try:
            said = orjson.loads(raw)
        except (orjson.JSONDecodeError, RecursionError):
            data = raw.encode() if isinstance(raw, str) else raw
            for found in _TEXTS.findall(data):
                self.text(found.decode("utf-8", "replace"))
            return
        for key, above, text in _leaves(said):
            if key == "id":
                self.id(text)
            elif key in _NAMES:
                self.called(text)
            elif (
                key in _TITLES
                or key in _PLACES
                or (key == "text" and above in _OF_A_NAME)
                or (key == "value" and above in _VALUED)
            ):
                self.name(text)
            elif key == "data":
                self._attachment(text)
            else:
                self.text(text)

    def limited(self, most: int = MOST_TEXTS) -> Needles:
        """The same with `most` soft needles at most: names, then ids, then the longest texts."""
        names = set(sorted(self.names, key=len, reverse=True)[:most])
        ids = set(sorted(self.ids)[: max(0, most - len(names))])
        left = max(0, most - len(names) - len(ids))
        texts = set(sorted(self.texts, key=lambda text: (-len(text), text))[:left])
        return Needles(set(self.hard), names, set(sorted(self.words)[:MOST_WORDS]), ids, texts, self.short)

    def forget(self, plain: set[bytes]) -> None:
        """Look for these no more, though they are of the record: they say nothing about anybody."""
        self.short += len((self.soft | self.words) & plain)
        self.names -= plain
        self.words -= plain
        self.ids -= plain
        self.texts -= plain

    def join(self, other: Needles) -> None:
        """Look for these as well."""
        for name in _SETS:
            getattr(self, name).update(getattr(other, name))

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        parts = {name: sorted(_shown(text) for text in getattr(self, name)) for name in _SETS}
        return {**parts, "short": self.short}

    @classmethod
    def load(cls, said: dict[str, Any]) -> Needles:
        """What `dump` wrote."""
        sets = {name: {text.encode("latin-1") for text in said.get(name, ())} for name in _SETS}
        return cls(**sets, short=said["short"])

    def _add(self, into: set[bytes], text: str | None, *, plain: bool) -> bool:
        """Whether it is worth looking for."""
        if not text:
            return False
        stripped = text.strip()
        size = len(stripped.encode("utf-8", "replace"))
        if size < SHORTEST or _DATE.fullmatch(stripped) or (size < SHORTEST_NUMBER and _NUMBER.fullmatch(stripped)):
            self.short += 1
            return False
        if plain and (_WORD.fullmatch(stripped) or (size < 2 * SHORTEST and _NUMBER.fullmatch(stripped))):
            self.short += 1
            return False
        for window in _windows(stripped):
            into.update(_written(window))
        return True

    def _attachment(self, text: str) -> None:
        for window in _windows(text):
            self.texts.add(window.encode())
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return
        if len(content) >= 2 * SHORTEST:
            self.texts.update(_parts(content))


_SETS: Final = ("hard", "names", "words", "ids", "texts")


def _shown(raw: bytes) -> str:
    return raw.decode("latin-1")


def _windows(text: str) -> Iterator[str]:
    if len(text) <= WINDOW + WINDOW // 2:
        yield text
        return
    for start in _starts(len(text)):
        yield text[start : start + WINDOW]


def _parts(content: bytes) -> Iterable[bytes]:
    if len(content) <= WINDOW:
        return [content]
    return [content[start : start + WINDOW] for start in _starts(len(content))]


def _starts(size: int) -> Iterator[int]:
    """Where the windows of something long begin: the first at its beginning, the last at its end, evenly."""
    number = min(MOST_WINDOWS, max(3, -(-size // STRIDE)))
    return (round((size - WINDOW) * place / (number - 1)) for place in range(number))


def _cased(text: str) -> set[str]:
    """A name as people write it: in capitals, too; an address, or a name of several words, in small letters as well."""
    forms = {text, text.upper()} | ({text.lower()} if "@" in text or " " in text else set())
    return {spelt for form in forms for spelt in _spelt(form)}


def _spelt(text: str) -> set[str]:
    """A text in both normal forms of Unicode: an é of one sign, or of two."""
    return {text} if text.isascii() else {text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))}


def _written(text: str) -> set[bytes]:
    """A text as it may stand in a file: itself, and as JSON writes it."""
    forms = {
        form
        for spelt in _spelt(text)
        for form in (spelt, json.dumps(spelt, ensure_ascii=False)[1:-1], json.dumps(spelt)[1:-1])
    }
    return {form.encode("utf-8", "replace") for form in forms if len(form) >= SHORTEST or not form.isascii()}


def _leaves(said: Any) -> Iterator[tuple[str, str, str]]:
    """(element, the element around it, text) of every text of a document; lists count as what they are of."""
    stack: list[tuple[str, str, Any, int]] = [("", "", said, 0)]
    while stack:
        key, above, value, depth = stack.pop()
        if isinstance(value, str):
            yield key, above, value
        elif depth > DEEPEST:
            continue
        elif isinstance(value, dict):
            stack.extend((name, key, inner, depth + 1) for name, inner in value.items())
        elif isinstance(value, list):
            stack.extend((key, above, inner, depth + 1) for inner in value)
