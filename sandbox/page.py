"""The pages of a provider's authorization server: consent, what has been granted, and refusals.

No script; a style that suits light and dark, and a phone of 360 pixels. Everything that strangers wrote is escaped.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from sandbox.consent import lasting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sandbox.authorization import AuthorizationRequest
    from sandbox.consent import Choice, Offer
    from sandbox.profiles import Profile
    from sandbox.store import Store

SHOWN: Final = 200
_DAY: Final = 86_400
_STYLE: Final = """
:root{color-scheme:light dark;--ground:#f4f6f8;--card:#fff;--text:#1b2430;--soft:#4a5766;--line:#76869a;--faint:#d9dfe6;
--deed:#1a56b0;--on-deed:#fff;--alarm:#a3161e}
@media (prefers-color-scheme:dark){:root{--ground:#11161d;--card:#1a212b;--text:#e8edf3;--soft:#b0bbc8;--line:#8493a6;
--faint:#333e4b;--deed:#8ab8ff;--on-deed:#0b1a2e;--alarm:#ff9a9e}}
*{box-sizing:border-box}
body{font:1rem/1.5 system-ui,sans-serif;margin:0;padding:1rem;color:var(--text);background:var(--ground)}
main{max-width:44rem;margin:0 auto;background:var(--card);border:1px solid var(--faint);border-radius:.75rem;
padding:1.25rem}
h1{font-size:1.4rem;line-height:1.25;margin:0 0 .5rem}h2{font-size:1.1rem;margin:0}
p{margin:.5rem 0}small,.soft{color:var(--soft);font-size:.875rem}
fieldset{border:0;padding:0;margin:1.5rem 0 0;min-width:0}
fieldset fieldset{margin:0 0 .5rem 2.25rem;padding-left:.75rem;border-left:2px solid var(--faint)}
legend{padding:0;font-weight:600}fieldset fieldset legend{font-weight:400;color:var(--soft);font-size:.875rem}
.pick{display:flex;gap:.75rem;align-items:flex-start;padding:.65rem 0;overflow-wrap:anywhere}
.pick input{flex:none;width:1.25rem;height:1.25rem;margin:.125rem 0 0;accent-color:var(--deed)}
.list{max-height:18rem;overflow:auto;border:1px solid var(--line);border-radius:.5rem;padding:.25rem .75rem;
margin-top:.5rem}
.field{display:block;margin-top:.75rem}
input[type=text]{width:100%;padding:.6rem;font:inherit;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:.5rem}
.deeds{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}
button{font:inherit;font-weight:600;min-height:2.75rem;padding:.5rem 1.5rem;border-radius:.5rem;
border:2px solid var(--deed);background:var(--deed);color:var(--on-deed);cursor:pointer}
button.plain{background:var(--card);color:var(--deed)}a{color:var(--deed)}
:focus-visible{outline:3px solid var(--deed);outline-offset:2px}
.alarm{border-left:4px solid var(--alarm);padding-left:.75rem;color:var(--alarm);font-weight:600}
article{border-top:1px solid var(--faint);padding:.75rem 0;margin-top:.75rem;overflow-wrap:anywhere}
@media (min-width:40rem){body{padding:2rem}main{padding:2rem}}
"""
_STYLE_HASH: Final = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()


def headers(redirect_uri: str | None = None) -> dict[str, str]:
    """The headers of a page. Where its form leads to `redirect_uri`, the policy must name that too: Chromium holds
    `form-action` against every redirect that follows a form (CSP 3 §6.5.1), and would stop at the client's door."""
    allowed = "'self'" + (f" {_source(redirect_uri)}" if redirect_uri else "")
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {allowed};"
            " frame-ancestors 'none'; base-uri 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def _source(uri: str) -> str:
    """An address as a source expression: its origin; only its scheme where that has none, or is an IPv6 address."""
    parts = urlsplit(uri)
    is_web = parts.scheme in ("http", "https") and parts.hostname and ":" not in parts.hostname
    if not is_web or not parts.netloc.isascii() or any(sign in parts.netloc for sign in " ;,'@"):
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"


def consent_page(
    store: Store,
    provider: str,
    request: AuthorizationRequest,
    parameters: Mapping[str, str],
    offer: Offer,
    profile: Profile,
    *,
    ticked: Collection[str] | None = None,
    patient: str = "",
    said: str = "",
) -> bytes:
    """The page on which a person says who they are, what the app may see, and for how long.

    `ticked` are the boxes as a person left them, `patient` whom they chose, `said` what was wrong with what they sent.
    At first it is whom the app's `login_hint` names.
    """
    shown = set(offer.boxes if ticked is None else ticked)
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in parameters.items()
    )
    alarm = f'<p class="alarm" role="alert">{escape(said)}</p>' if said else ""
    who = _who(store, patient or request.login_hint)
    return document(
        f"{request.client_name} asks for your records - {provider}",
        f"<h1>{escape(provider)}: share your records?</h1>"
        f"<p><b>{escape(request.client_name)}</b> asks to read your health records. You choose what it may see.</p>"
        f'<p class="soft">A sandbox: these people are made up, or yours. Afterwards you go to'
        f" {escape(_shown_address(request.redirect_uri))}.</p>{alarm}"
        f'<form method="post" action="decide">{hidden}{who}{_what(offer, profile, shown)}'
        f'{_how_long(offer, profile, shown)}<div class="deeds"><button name="decision" value="allow">Allow</button>'
        '<button class="plain" name="decision" value="deny">Deny</button></div></form>',
    )


def _who(store: Store, chosen: str) -> str:
    shown = people_shown(store)
    is_shown = chosen in (identity for identity, _ in shown)
    typed = chosen if not is_shown and store.has_person(chosen) else ""
    people = "".join(
        f'<label class="pick"><input type="radio" name="patient" value="{escape(identity)}"'
        f"{' checked' if identity == chosen else ''}>"
        f"<span>{escape(name)}<br><small>{escape(identity)}</small></span></label>"
        for identity, name in shown
    )
    return (
        f'<fieldset><legend><h2>Who are you?</h2></legend><div class="list">{people}</div>'
        '<label class="field">Or type a patient id'
        f'<input type="text" name="other" value="{escape(typed)}" autocomplete="off" autocapitalize="none"'
        ' spellcheck="false"></label></fieldset>'
    )


def _what(offer: Offer, profile: Profile, ticked: Collection[str]) -> str:
    legend = '<fieldset id="types"><legend><h2>What may it see?</h2></legend>'
    if not profile.offers_types:
        items = "".join(f"<li>{escape(choice.label)}</li>" for choice in offer.choices)
        return f'{legend}<p class="soft">This provider shares all of it or nothing.</p><ul>{items}</ul></fieldset>'
    hint = '<p class="soft">Untick what it must not see.</p>'
    return legend + hint + "".join(_choice(choice, ticked) for choice in offer.choices) + "</fieldset>"


def _choice(choice: Choice, ticked: Collection[str]) -> str:
    own = _box(choice.scope, choice.label, choice.scope, ticked)
    if not choice.categories:
        return own
    kinds = "".join(_box(scope, label, "", ticked) for label, scope in choice.categories)
    return (
        f"{own}<fieldset><legend>Kinds of {escape(choice.label[:1].lower() + choice.label[1:])}: with one unticked,"
        f" only the ticked kinds are shared</legend>{kinds}</fieldset>"
    )


def _box(value: str, label: str, note: str, ticked: Collection[str]) -> str:
    checked = " checked" if value in ticked else ""
    small = f"<br><small>{escape(note)}</small>" if note else ""
    return (
        f'<label class="pick"><input type="checkbox" name="granted" value="{escape(value)}"{checked}>'
        f"<span>{escape(label)}{small}</span></label>"
    )


def _how_long(offer: Offer, profile: Profile, ticked: Collection[str]) -> str:
    parts = []
    if offer.offline:
        parts.append(_box("offline_access", "Also when I am not there", "offline_access", ticked))
    for seconds in profile.lifetimes_offered:
        checked = " checked" if seconds == profile.lifetimes_offered[-1] else ""
        parts.append(
            f'<label class="pick"><input type="radio" name="lasting" value="{lasting(seconds)}"{checked}>'
            f"<span>{escape(length(seconds))}</span></label>"
        )
    return f"<fieldset><legend><h2>For how long?</h2></legend>{''.join(parts)}</fieldset>" if parts else ""


def length(seconds: float) -> str:
    """Seconds in words: minutes to months."""
    for unit, size in (("year", 365 * _DAY), ("month", 30 * _DAY), ("week", 7 * _DAY), ("day", _DAY), ("hour", 3600),
                       ("minute", 60)):  # fmt: skip
        if seconds >= size and seconds % size == 0:
            number = int(seconds // size)
            return f"{number} {unit}" + ("s" if number > 1 else "")
    return f"{seconds:g} seconds"


def grants_page(provider: str, patient: str, people: list[tuple[str, str]], grants: list[dict[str, Any]]) -> bytes:
    """The page behind `management_endpoint`: which apps have access, and ending it (SMART §conformance)."""
    if not patient:
        items = "".join(
            f'<li><a href="manage?patient={escape(identity)}">{escape(name)}</a></li>' for identity, name in people
        )
        return document("Your apps", f"<h1>{escape(provider)}: who are you?</h1><ul>{items}</ul>")
    shown = "".join(_grant(grant) for grant in grants if grant["ended"] is None)
    return document(
        "Your apps",
        f"<h1>{escape(provider)}: apps with access</h1>"
        f'<p class="soft">Patient {escape(patient)}</p>{shown or "<p>No app has access.</p>"}',
    )


def _grant(grant: Mapping[str, Any]) -> str:
    pause = ("resume", "Resume") if grant["suspended"] else ("suspend", "Pause")
    return (
        f"<article><h2>{escape(grant['client_id'])}</h2><p><small>{escape(grant['scope'])}</small></p>"
        f'<form method="post" action="manage"><input type="hidden" name="patient" value="{escape(grant["patient"])}">'
        f'<input type="hidden" name="grant" value="{escape(grant["grant"])}"><div class="deeds">'
        '<button name="act" value="end">End access</button>'
        f'<button class="plain" name="act" value="{pause[0]}">{pause[1]}</button></div></form></article>'
    )


def refusal_page(said: str) -> bytes:
    """The page for a request whose client cannot be answered safely."""
    return document("Not possible", f"<h1>This sign-in is not possible</h1><p>{escape(said)}.</p>")


def document(title: str, content: str) -> bytes:
    """A page: its title, and what it holds as HTML."""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{content}</main></body></html>"
    ).encode()


def _shown_address(uri: str) -> str:
    parts = urlsplit(uri)
    return parts.netloc or f"{parts.scheme}:"


def people_shown(store: Store) -> list[tuple[str, str]]:
    """The first people who can sign in: id and name."""
    return [(identity, _named(body)) for identity, body in islice(store.patients(), SHOWN)]


def _named(body: bytes) -> str:
    try:
        patient: dict[str, Any] = orjson.loads(body)
        name = patient["name"][0]
        words = [*name.get("given", []), name.get("family", "")]
        return f"{' '.join(str(word) for word in words)}, born {patient.get('birthDate', '?')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "(without a name)"
