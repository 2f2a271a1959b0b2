"""A FHIR server of the operator's own: looked at, and its patients linked, before a night or without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.markup import escape

from charthouse.linking import own_server
from charthouse.operating.given import patient_ids, token_of
from charthouse.operating.terminal import step
from charthouse.partners.http import HttpClient
from charthouse.partners.inspection import fhir_base, inspect
from charthouse.partners.patients import Patients, all_patients, named_patients
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from charthouse.partners.inspection import Inspected
    from charthouse.partners.token_endpoint import TokenSet

FIRST: Final = 100
"""Patients that are linked where nobody said which: a public server has a hundred thousand."""
TRIES: Final = 2
"""Tries for each request of the first look: somebody waits for it."""


@dataclass(frozen=True, slots=True)
class OwnServer:
    """What the operator gives: the server's address, texts of patients' ids, and a file with a token."""

    url: str
    patients: Sequence[str] = field(default=(), repr=False)
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class OwnLinks:
    """The provider that the server is to us, and how many of its patients were linked, by what was found."""

    provider: str
    new: int
    known: int
    left_out: int


def link_own_server(own: OwnServer, out: Console) -> OwnLinks:
    """Look at the server, and link the patients that were named; `all` are those that it lists.

    Where none is named, those are linked whom the token is for, else who was linked before, else the first hundred.

    Raises:
        FetchError: CH13x, CH101 and the like: what keeps the server from serving, in one sentence.
        LinkError: CH613 where the provider at that address is closed.
    """
    ids = patient_ids(own.patients) if own.patients else ()
    tokens = token_of(own.token_file) if own.token_file else None
    base = fhir_base(own.url)
    own_server.check_way(base, tokens)
    token = tokens.access_token if tokens is not None else None
    settings = get_settings().model_copy(update={"request_tries": TRIES})
    with HttpClient(settings) as client:
        with step(out, f"Server: looking at {escape(base)}"):
            server = inspect(client, base, token)
        out.print(f"Server: {server.software or 'it does not say what it is'}, FHIR R4, at {server.base}",
                  highlight=False, markup=False)  # fmt: skip
        slug = own_server.provider_for(server)
        with step(out, "Patients: reading them"):
            patients = _patients(client, server, ids, slug, tokens)
    with step(out, "Patients: linking them"):
        linked = own_server.link_patients(slug, patients.ids, tokens)
    left = f"; {linked.left_out:,} left out, who were erased here" if linked.left_out else ""
    out.print(f"Links: {linked.new:,} new, {linked.known:,} known{left}", highlight=False)
    if patients.more:
        out.print(f"The server has more than these {FIRST}: PATIENTS=all links all of them.", style="yellow")
    return OwnLinks(slug, linked.new, linked.known, linked.left_out)


def _patients(
    client: HttpClient, server: Inspected, ids: Sequence[str] | None, slug: str, tokens: TokenSet | None
) -> Patients:
    settings = get_settings()
    token = tokens.access_token if tokens is not None else None
    if ids is None:
        return all_patients(client, server, token, settings)
    if not ids and tokens is not None and tokens.patient is not None:
        ids = (tokens.patient,)
    if ids:
        return named_patients(client, server, ids, token, settings)
    before = own_server.linked_by_operators(slug)
    return Patients(before) if before else all_patients(client, server, token, settings, most=FIRST)
