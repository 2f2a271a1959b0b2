"""Bad behaviour on demand: rules that make a provider answer as broken servers do, on a real HTTP connection.

A rule is `{"match": {...}, "times": n, "act": {...}}`. The first rule that matches a request acts, `times` times (for
ever when it is not given). `match` knows `type`, `patient` (the token's), `path` (a part of the path), `query` (a part
of the query string) and `page` (1 is the first); what is not named matches all.
"""

from __future__ import annotations

import re
import threading
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson

Body = Literal[
    "html", "invalid_json", "no_entry", "loop", "again", "foreign_next", "truncate", "moved", "other_patient", "no_id"
]  # fmt: skip


class Match(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which requests a rule is for."""

    type: str | None = None
    patient: str | None = None
    path: str | None = None
    query: str | None = None
    page: int | None = None


class Act(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What happens instead of, or to, the answer.

    `status` with an OperationOutcome, or `body`: a page of HTML, invalid JSON, a Bundle without `entry`, a `next` link
    back to the same page, to the same page under another address (`again`) or to somebody else's host, an answer cut in
    the middle, a last entry that has just been updated and so stands on a page that was read before (`moved`; a file of
    an export holds it as it was), a resource of another patient among the entries, a resource that lost its id.
    `hang_up` closes the connection, `slow_seconds` waits first, `retry_after`
    sets that header (with 429 unless `status` says otherwise), `expire_token` ends the request's token and answers 401.
    `lose_answer` does what was asked and then closes the connection: a token was rotated, and the client will not hear
    of it. `cut` closes it when half of an answer is sent that was announced whole. `error` is an OAuth error: a
    redirect from `authorize` (RFC 6749 §4.1.2.1), JSON from `token` (§5.2), with `status` or 400.
    """

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    body: Body | None = None
    hang_up: bool = False
    cut: bool = False
    slow_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 0
    retry_after: str | int | None = None
    expire_token: bool = False
    lose_answer: bool = False
    error: str | None = None


class Rule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One rule; `times` None means for ever."""

    act: Act
    match: Match = Match()
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None


class FaultError(Exception):
    """Rules that cannot be understood; the text says why."""


class Faults:
    """The rules of one provider and how often each has acted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[tuple[Rule, int]] = []

    def add(self, body: bytes) -> int:
        """Add one rule or a list of them, as JSON. Returns how many there are now.

        Raises:
            FaultError: the JSON is no rule.
        """
        try:
            rules = msgspec.json.decode(body, type=Rule | list[Rule])
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise FaultError(f"this is no fault rule: {error}") from None
        with self._lock:
            self._rules += [(rule, 0) for rule in (rules if isinstance(rules, list) else [rules])]
            return len(self._rules)

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The rules, each with how often it has acted."""
        with self._lock:
            return [msgspec.to_builtins(rule) | {"acted": acted} for rule, acted in self._rules]

    @property
    def any(self) -> bool:
        """Whether there are rules at all."""
        return bool(self._rules)

    def pick(
        self, *, type_name: str, patient: str, path: str, query: str, page: int, is_record: bool = True
    ) -> Act | None:
        """The act for a request, counted; None where no rule is for it.

        A rule that names a patient and no path is about their records (`is_record`), not about their tokens.
        """
        with self._lock:
            for index, (rule, acted) in enumerate(self._rules):
                match = rule.match
                if (
                    (rule.times is None or acted < rule.times)
                    and (match.type is None or match.type == type_name)
                    and (match.patient is None or match.patient == patient)
                    and (match.patient is None or match.path is not None or is_record)
                    and (match.path is None or match.path in path)
                    and (match.query is None or match.query in query)
                    and (match.page is None or match.page == page)
                ):
                    self._rules[index] = (rule, acted + 1)
                    return rule.act
        return None


_HTML: Final = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"
_ENTRY: Final = re.compile(rb',"entry":\[.*\]\}$', re.DOTALL)
_NEXT: Final = re.compile(rb'([,\[]\{"relation":"next","url":)"[^"]*"\}')
_LINKS: Final = re.compile(rb'("link":\[.*?\})\]')
_ELSEWHERE: Final = "https://elsewhere.invalid/fhir?page=2"
_FIRST_ID: Final = re.compile(rb'("resource":\s*\{\s*"resourceType"\s*:\s*"[A-Za-z]+"),\s*"id"\s*:\s*"[^"]*"')


def spoil(body: bytes, kind: Body, *, own: str, stranger: bytes | None = None) -> tuple[bytes, str]:
    """An answer made bad. Returns the body and its media type.

    `own` is the address that was asked for, `stranger` another patient's resource, if any.
    """
    if kind == "html":
        return _HTML, "text/html; charset=utf-8"
    media = "application/fhir+json; charset=utf-8"
    if kind == "invalid_json":
        return body[:-1] + b",,}", media
    if kind == "truncate":
        return body[: len(body) // 2], media
    if kind == "no_entry":
        return _ENTRY.sub(b"}", body), media
    if kind == "no_id":
        return _FIRST_ID.sub(rb"\1", body, count=1), media
    if kind == "other_patient":
        return _with_stranger(body, stranger), media
    if kind == "moved":
        return _without_last(body), media
    if kind == "foreign_next":
        return _leading(body, _ELSEWHERE, add=False), media
    return _leading(body, own if kind == "loop" else f"{own}{'&' if '?' in own else '?'}again=1", add=True), media


def last_of(body: bytes) -> tuple[str, str] | None:
    """Type and id of the last resource of a page that was found, and not merely came along."""
    entries = orjson.loads(body).get("entry", [])
    matches = [entry["resource"] for entry in entries if entry.get("search", {}).get("mode") == "match"]
    return (matches[-1]["resourceType"], matches[-1]["id"]) if matches else None


def _without_last(body: bytes) -> bytes:
    """The page without the entry of `last_of`; its count over all pages stays."""
    said = orjson.loads(body)
    found = last_of(body)
    said["entry"] = [
        entry
        for entry in said.get("entry", [])
        if (entry["resource"]["resourceType"], entry["resource"].get("id")) != found
    ]
    return orjson.dumps(said)


def _leading(body: bytes, address: str, *, add: bool) -> bytes:
    """The page with another `next`; one that has none gets it only with `add`."""
    link = orjson.dumps(address)
    if _NEXT.search(body) or not add:
        return _NEXT.sub(lambda found: found[1] + link + b"}", body, count=1)
    return _LINKS.sub(lambda found: found[1] + b',{"relation":"next","url":' + link + b"}]", body, count=1)


def _with_stranger(body: bytes, stranger: bytes | None) -> bytes:
    if stranger is None:
        return body
    entry = b'{"resource":' + stranger + b',"search":{"mode":"match"}}'
    at = body.find(b',"entry":[')
    if at < 0:
        return body[:-1] + b',"entry":[' + entry + b"]}"
    at += len(b',"entry":[')
    return body[:at] + entry + b"," + body[at:]


def outcome(issue: str, said: str) -> bytes:
    """An OperationOutcome with one error."""
    return orjson.dumps(
        {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": issue, "diagnostics": said}],
        }
    )
