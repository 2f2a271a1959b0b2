"""Looking at a provider before people link: what it says of itself, what would be asked of it, and what is missing.

Everything is read without a sign-in: its smart-configuration (SMART App Launch 2.2 §8) and `/metadata` (FHIR R4 §5.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from charthouse.errors import FetchError, StateError
from charthouse.linking.bundles import LOOPBACK
from charthouse.linking.permissions import permitted
from charthouse.linking.providers import get_provider
from charthouse.linking.regions import region_of
from charthouse.linking.registrations import client_of, get_registration, scopes_of
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.capability import parse_capability
from charthouse.partners.client import Client
from charthouse.partners.discovery import WELL_KNOWN, discover, read_configuration, read_object
from charthouse.partners.http import HttpClient
from charthouse.partners.scope_request import scopes_to_request
from charthouse.settings import Settings, get_settings
from charthouse.state import session as state_session
from transforms.tables import tables

if TYPE_CHECKING:
    from charthouse.partners.capability import Capability
    from charthouse.partners.discovery import SmartConfiguration

State = Literal["ok", "remark", "missing"]

NEEDED: Final = ("launch-standalone", "context-standalone-patient", "permission-patient")
"""Capabilities of "Patient Access for Standalone Apps" (SMART App Launch 2.2 §8.1) that every provider must have."""
UNREACHED: Final = "CH101"
SILENT: Final = frozenset({UNREACHED, "CH109"})


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing looked at: `missing` keeps people from linking, `remark` makes links poorer or shorter."""

    what: str
    state: State
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    base: str
    client: Client
    scopes: str | None = None
    algorithm: str | None = None
    region: str | None = None
    closed: bool = False
    registered: bool = False


def check_provider(slug_or_url: str, *, settings: Settings | None = None) -> list[CheckFinding]:
    """Look at a provider by its slug, or at a FHIR base that is nobody's yet by its address.

    Raises:
        StateError: CH602 when there is no such provider.
        LinkError: CH620 when its registration is gone.
    """
    settings = settings or get_settings()
    asked = _asked(slug_or_url, settings)
    findings, address = _ours(asked), _encrypted("FHIR base", asked.base)
    with HttpClient(settings) as client:
        try:
            offered, metadata = _metadata(client.get(f"{asked.base}/metadata").body)
        except FetchError as error:
            offered, metadata = None, [_unread(error)]
            if error.code in SILENT:
                # Nothing is well with an address at which nobody answers.
                known = address.state == "missing" or error.code != UNREACHED
                return [*findings, *([address] if known else []), *metadata]
        findings.append(address)
        configuration, found = _configuration(client, asked.base)
        findings += found
    if configuration is not None:
        findings += _sign_in(configuration)
        findings += _authentication(configuration, asked)
        findings += _lasting(configuration)
        findings += _scopes(configuration, asked, offered)
    return [*findings, *metadata, *_types(offered)]


def _asked(slug_or_url: str, settings: Settings) -> _Asked:
    if slug_or_url.lower().startswith(("https://", "http://")):
        return _Asked(slug_or_url.rstrip("/"), Client(settings.client_id))
    with state_session(settings, read_only=True) as state:
        provider = get_provider(state, slug_or_url)
        kept = None if provider.registration is None else get_registration(state, provider.registration)
        return _Asked(
            base=provider.fhir_base_url,
            client=client_of(state, slug_or_url, settings),
            scopes=scopes_of(state, slug_or_url),
            algorithm=kept.algorithm if kept is not None else None,
            region=provider.region,
            closed=not provider.active or provider.retired_at is not None,
            registered=kept is not None,
        )


def _ours(asked: _Asked) -> list[CheckFinding]:
    """What we ourselves know of the provider."""
    findings = []
    if asked.region is not None and region_of(asked.region) is None:
        findings.append(
            CheckFinding("region", "missing", f"{asked.region} is not supported", "Add a row to regions.json.")
        )
    if asked.closed:
        mend = "Open it with: charthouse providers edit SLUG --open"
        findings.append(CheckFinding("open", "missing", "it is closed or retired", mend))
    return findings


def _encrypted(what: str, address: str) -> CheckFinding:
    home = origin(address)
    if home is None:
        return CheckFinding(what, "missing", "it is no http(s) address", "Correct it.")
    if home[0] == "https":
        return CheckFinding(what, "ok", host_of(home))
    if home[1] in LOOPBACK:
        return CheckFinding(what, "remark", f"{host_of(home)}: http, on this machine")
    return CheckFinding(what, "missing", f"{host_of(home)}: http sends tokens in clear text", "Use its https address.")


def _configuration(client: HttpClient, base: str) -> tuple[SmartConfiguration | None, list[CheckFinding]]:
    try:
        found = read_configuration(client.get(f"{base}/{WELL_KNOWN}", accept="application/json").body, base)
    except FetchError:
        found = None
    if found is not None:
        return found, [CheckFinding("smart-configuration", "ok", "there, with its addresses")]
    try:
        named = discover(base)
    except (FetchError, StateError) as error:
        if _is_open(client, base):
            detail = "nobody signs in: the server lets everybody read"
            mend = "Link its patients with: charthouse links add URL"
            return None, [CheckFinding("smart-configuration", "remark", detail, mend)]
        mend = "Ask the provider for its FHIR base for patients."
        return None, [CheckFinding("smart-configuration", "missing", f"{error.code} {error.entry.title}", mend)]
    detail = "there is none that can be used; the addresses are those of /metadata"
    return named, [CheckFinding("smart-configuration", "remark", detail)]


def _is_open(client: HttpClient, base: str) -> bool:
    """Whether the server shows patients to whoever asks: it needs no configuration, for it has no sign-in."""
    try:
        said = read_object(client.get(f"{base}/Patient?_count=1").body) or {}
    except FetchError:
        return False
    return said.get("resourceType") == "Bundle" and said.get("type") == "searchset"


def _sign_in(configuration: SmartConfiguration) -> list[CheckFinding]:
    findings = [
        _encrypted("authorization endpoint", configuration.authorization_endpoint),
        _encrypted("token endpoint", configuration.token_endpoint),
    ]
    methods = configuration.code_challenge_methods_supported
    if "S256" in methods:
        findings.append(CheckFinding("PKCE", "ok", "S256"))
    elif methods:
        mend = "Tell the provider: SMART App Launch 2.2 requires S256."
        findings.append(CheckFinding("PKCE", "missing", "it knows other methods than S256", mend))
    else:
        findings.append(CheckFinding("PKCE", "remark", "not said; we send S256 in any case"))
    lacking = [name for name in NEEDED if name not in configuration.capabilities]
    if not configuration.capabilities:
        findings.append(CheckFinding("capabilities", "remark", "not said"))
    elif lacking:
        findings.append(CheckFinding("capabilities", "remark", "not listed: " + ", ".join(lacking)))
    else:
        findings.append(CheckFinding("capabilities", "ok", "patient access for standalone apps"))
    return findings


def _authentication(configuration: SmartConfiguration, asked: _Asked) -> list[CheckFinding]:
    """Whether it lets us in as the client that we are registered as."""
    auth = asked.client.auth
    whose = f"{auth}, as {'registered' if asked.registered else 'the client id of the settings'}"
    mend = "Register with the provider, then: charthouse providers register and providers edit SLUG --registration"
    methods = configuration.token_endpoint_auth_methods_supported
    able = configuration.capabilities
    if auth == "none":
        confidential = {"client-confidential-symmetric", "client-confidential-asymmetric"} & able
        refused = (methods and "none" not in methods and "client-public" not in able) or (
            confidential and "client-public" not in able and "none" not in methods
        )
        if refused:
            return [CheckFinding("client", "missing", f"{whose}; it takes confidential clients only", mend)]
    elif methods and auth not in methods:
        detail = f"{whose}; it takes {', '.join(sorted(methods))}"
        return [CheckFinding("client", "missing", detail, "Make the registration agree with the provider's.")]
    algorithms = configuration.token_endpoint_auth_signing_alg_values_supported
    signs = asked.algorithm or "ES384"
    if auth == "private_key_jwt" and algorithms and signs not in algorithms:
        detail = f"we sign with {signs}; it takes {', '.join(sorted(algorithms))}"
        return [CheckFinding("client", "missing", detail, "charthouse providers register SLUG --algorithm RS384")]
    if not asked.registered:
        return [CheckFinding("client", "remark", f"{whose}: the provider has to know that id", mend)]
    return [CheckFinding("client", "ok", whose)]


def _lasting(configuration: SmartConfiguration) -> list[CheckFinding]:
    """Whether links last, and whether they can be ended at the provider."""
    findings = []
    offline = "permission-offline" in configuration.capabilities or "offline_access" in configuration.scopes_supported
    if offline:
        findings.append(CheckFinding("lasting links", "ok", "offline_access"))
    elif configuration.capabilities or configuration.scopes_supported:
        detail = "offline_access is not listed: links may end with their first access token, within the hour"
        mend = "Some providers give lasting access by the registration; ask for it there."
        findings.append(CheckFinding("lasting links", "missing", detail, mend))
    else:
        findings.append(CheckFinding("lasting links", "remark", "not said; offline_access is asked for"))
    if configuration.revocation_endpoint is None:
        detail = "no revocation: who disconnects has to do so in the portal too"
        mend = "Give the portal's address: charthouse providers edit SLUG --portal-url"
        findings.append(CheckFinding("revocation", "remark", detail, mend))
    else:
        findings.append(CheckFinding("revocation", "ok", "RFC 7009"))
    if configuration.introspection_endpoint is None:
        findings.append(CheckFinding("introspection", "remark", "none: when links end is learnt from those that end"))
    else:
        findings.append(CheckFinding("introspection", "ok", "RFC 7662"))
    if configuration.user_access_brand_bundle is None:
        findings.append(CheckFinding("brands", "remark", "it links to no list of its brands"))
    else:
        mend = "Take it in with: charthouse providers import --own SLUG"
        findings.append(CheckFinding("brands", "ok", "it links to its own list", mend))
    return findings


def _scopes(configuration: SmartConfiguration, asked: _Asked, offered: Capability | None) -> list[CheckFinding]:
    if asked.scopes is not None:
        return [CheckFinding("scopes", "ok", f"of the registration: {asked.scopes}"), _categories(asked.scopes)]
    types = frozenset(offered.types) if offered is not None else frozenset[str]()
    scopes = scopes_to_request(configuration, offered=types)
    if "patient/Patient.r" not in scopes and "patient/*.r" not in scopes:
        mend = "Without it nobody's records can be told from another's: ask the provider."
        return [CheckFinding("scopes", "missing", f"no scope for Patient: {scopes}", mend)]
    return [CheckFinding("scopes", "ok", scopes), _categories(scopes)]


def _categories(scopes: str) -> CheckFinding:
    """What people could share if they granted all that would be asked."""
    whole = permitted(scopes)
    complete = whole.patient_readable and not whole.named("partly") and not whole.named("not_permitted")
    return CheckFinding("categories", "ok" if complete else "remark", whole.sentence())


def _unread(error: FetchError) -> CheckFinding:
    if error.code in ("CH102", "CH103"):
        return CheckFinding("/metadata", "remark", "it is shown with a token only")
    mend = "Check the address; a FHIR base often ends in /r4 or /R4."
    what = "FHIR base" if error.code == UNREACHED else "/metadata"
    return CheckFinding(what, "missing", f"{error.code} {error.entry.title}", mend)


def _metadata(body: bytes) -> tuple[Capability | None, list[CheckFinding]]:
    version = (read_object(body) or {}).get("fhirVersion")
    if isinstance(version, str) and not version.startswith("4."):
        mend = "Use the address of its R4 (4.0.1) server."
        return None, [CheckFinding("FHIR version", "missing", version[:20], mend)]
    try:
        offered = parse_capability(body)
    except FetchError as error:
        mend = "Check the address: it answers with something else."
        return None, [CheckFinding("/metadata", "missing", f"{error.code} {error.entry.title}", mend)]
    if not isinstance(version, str):
        return offered, [CheckFinding("FHIR version", "remark", "not said")]
    if not version.startswith("4.0"):
        return offered, [CheckFinding("FHIR version", "remark", f"{version[:20]}: read as R4")]
    return offered, [CheckFinding("FHIR version", "ok", version[:20])]


def _types(offered: Capability | None) -> list[CheckFinding]:
    if offered is None:
        return []
    if "Patient" not in offered.types or not offered.types["Patient"].can_read:
        return [CheckFinding("resources", "missing", "Patient cannot be read", "Ask the provider.")]
    kinds = {table.name: set(table.resource_types) for table in tables()}
    lacking = [name for name, wanted in kinds.items() if not wanted & offered.types.keys()]
    if lacking:
        return [CheckFinding("resources", "remark", "nothing for: " + ", ".join(lacking).replace("_", " "))]
    return [CheckFinding("resources", "ok", "something for all ten categories")]
