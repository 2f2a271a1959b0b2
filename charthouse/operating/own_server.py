"""A FHIR server of the operator's own: looked at, and its patients linked, before a night or without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.markup import escape

from charthouse.linking import own_server
from charthouse.linking.bulk_sources import export_of
from charthouse.operating.given import key_of, patient_ids, token_of
from charthouse.operating.terminal import step
from charthouse.partners.backend_services import SystemTokens, client_with_key
from charthouse.partners.http import HttpClient
from charthouse.partners.inspection import fhir_base, inspect
from charthouse.partners.patients import Patients, all_patients, named_patients, patients_of_group
from charthouse.settings import get_settings
from charthouse.state import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from charthouse.linking.bulk_sources import Export
    from charthouse.partners.inspection import Inspected
    from charthouse.partners.token_endpoint import TokenSet
    from charthouse.settings import Settings

FIRST: Final = 100
"""Patients that are linked where nobody said which: a public server has a hundred thousand."""
TRIES: Final = 2
"""Tries for each request of the first look: somebody waits for it."""


@dataclass(frozen=True, slots=True)
class OwnServer:
    """What the operator gives: the server's address, texts of patients' ids, and a file with a token or a private key.

    The key is that of the client id by which the server knows us (SMART Backend Services).
    """

    url: str
    patients: Sequence[str] = field(default=(), repr=False)
    token_file: str | None = None
    key_file: str | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class OwnLinks:
    """The provider that the server is to us, and how many of its patients were linked, by what was found."""

    provider: str
    new: int
    known: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Looked:
    """A server that can serve, the patients that were named (None: all), and the token that was given.

    `token` is what the server is read with now: that one, or one that the key has got.
    """

    server: Inspected
    ids: Sequence[str] | None = field(repr=False)
    tokens: TokenSet | None
    token: str | None = field(repr=False)
    key: str | None = field(repr=False)
    client_id: str | None


def look_at(own: OwnServer, out: Console) -> Looked:
    """Read what was given, and look at the server. Nothing of ours is needed for it, and nothing is written.

    Raises:
        FetchError: CH13x, CH101 and the like: what keeps the server from serving, in one sentence.
    """
    ids = patient_ids(own.patients) if own.patients else ()
    tokens = token_of(own.token_file) if own.token_file else None
    key = key_of(own.key_file) if own.key_file else None
    base = fhir_base(own.url)
    own_server.check_way(base, secret=tokens is not None or key is not None)
    with HttpClient(_settings()) as client, step(out, f"Server: looking at {escape(base)}"):
        token = tokens.access_token if tokens is not None else None
        if key is not None:
            inspect(client, base)  # whether it is a FHIR server at all goes first
            ours = client_with_key(own.client_id or get_settings().client_id, key)
            token = SystemTokens(_settings(), base, ours).token()
        server = inspect(client, base, token)
    said = server.software or "it does not say what it is"
    out.print(f"Server: {said}, FHIR R4, at {server.base}", highlight=False, markup=False)
    return Looked(server, ids, tokens, token, key, own.client_id)


def link_own_server(looked: Looked, out: Console) -> OwnLinks:
    """Link the patients that were named at a server that was looked at; `all` are those that it lists.

    Where none is named, those are linked whom the token is for, else who was linked before, else the first hundred.

    Raises:
        FetchError: CH132 to CH136, CH101 and the like: whose records they are cannot be read.
        LinkError: CH613 where the provider at that address is closed.
    """
    slug = own_server.provider_for(looked.server)
    if looked.key is not None:
        own_server.register_key(slug, looked.client_id or get_settings().client_id, looked.key)
    with HttpClient(_settings()) as client, step(out, "Patients: reading them"):
        patients = _patients(client, looked, slug)
    with step(out, "Patients: linking them"):
        linked = own_server.link_patients(slug, patients.ids, looked.tokens)
    left = f"; {linked.left_out:,} left out, who were erased here" if linked.left_out else ""
    out.print(f"Links: {linked.new:,} new, {linked.known:,} known{left}", highlight=False)
    if patients.more:
        out.print(f"The server has more than these {FIRST}: PATIENTS=all links all of them.", style="yellow")
    return OwnLinks(slug, linked.new, linked.known, linked.left_out)


def _settings() -> Settings:
    return get_settings().model_copy(update={"request_tries": TRIES})


def _patients(client: HttpClient, looked: Looked, slug: str) -> Patients:
    settings, server, token, ids = get_settings(), looked.server, looked.token, looked.ids
    exported = _export(slug)
    if ids is None and exported is not None and exported.level.startswith("Group/"):
        return _in_group(client, exported, settings)
    if ids is None:
        return all_patients(client, server, token, settings)
    if not ids and looked.tokens is not None and looked.tokens.patient is not None:
        ids = (looked.tokens.patient,)
    if ids and exported is not None:
        # What does nothing but export shows nobody, whatever its /metadata says. Whom the export leaves out is CH158.
        return Patients(tuple(ids))
    if ids:
        return named_patients(client, server, ids, token, settings)
    before = own_server.linked_by_operators(slug)
    return Patients(before) if before else all_patients(client, server, token, settings, most=FIRST)


def _export(slug: str) -> Export | None:
    with session(read_only=True) as state:
        return export_of(state, slug)


def _in_group(client: HttpClient, export: Export, settings: Settings) -> Patients:
    """Who is in the group that is exported: what does nothing but export lists no patients."""
    token = None
    if export.client is not None:
        token = SystemTokens(settings, export.base_url, export.client, export.scope).token()
    return patients_of_group(client, export.base_url, export.level, token)
