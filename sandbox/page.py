"""The sign-in page of a sandbox provider: who are you, and what may the app see?"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.smart import AuthorizationRequest
    from sandbox.store import Store

SHOWN: Final = 200
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1d2733;
background:#f6f7f9}
main{background:#fff;border:1px solid #d9dee5;border-radius:.75rem;padding:1.5rem 2rem}
h1{font-size:1.4rem;margin-top:0}fieldset{border:0;padding:0;margin:1rem 0}legend{font-weight:600}
label{display:block;padding:.25rem 0}.list{max-height:18rem;overflow:auto;border:1px solid #d9dee5;border-radius:.5rem;
padding:.5rem .75rem}small{color:#566476}input[type=text]{width:100%;padding:.4rem;font:inherit;box-sizing:border-box}
button{font:inherit;padding:.5rem 1.25rem;border-radius:.5rem;border:1px solid #1f5fbf;background:#1f5fbf;color:#fff}
button.plain{background:#fff;color:#1f5fbf}
"""


def sign_in_page(store: Store, provider: str, request: AuthorizationRequest, parameters: Mapping[str, str]) -> bytes:
    """The page on which a person chooses a patient and the scopes to grant. Everything on it is escaped."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in parameters.items()
    )
    people = "".join(
        f'<label><input type="radio" name="patient" value="{escape(identity)}"> {escape(said)}'
        f" <small>{escape(identity)}</small></label>"
        for identity, said in _people(store)
    )
    scopes = "".join(
        f'<label><input type="checkbox" name="granted" value="{escape(scope)}" checked> {escape(scope)}</label>'
        for scope in request.scope.split()
    )
    return _page(
        "Sign in",
        f"<h1>{escape(provider)}: sign in</h1>"
        f"<p><b>{escape(request.client_id)}</b> asks to read your records. These people are made up, or yours.</p>"
        f'<form method="post" action="decide">{hidden}'
        f'<fieldset><legend>Who are you?</legend><div class="list">{people}</div>'
        '<label>Or a patient id: <input type="text" name="other" autocomplete="off"></label></fieldset>'
        f'<fieldset><legend>What may it see?</legend><div class="list">{scopes}</div></fieldset>'
        '<button name="decision" value="allow">Allow</button> '
        '<button class="plain" name="decision" value="deny">Deny</button></form>',
    )


def refusal_page(said: str) -> bytes:
    """The page for a request whose client cannot be answered safely."""
    return _page("Not possible", f"<h1>This sign-in is not possible</h1><p>{escape(said)}.</p>")


def _page(title: str, content: str) -> bytes:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main>{content}</main></body></html>"
    ).encode()


def _people(store: Store) -> list[tuple[str, str]]:
    rows = store.db.execute(
        "SELECT r.id, b.body FROM resource r JOIN body b ON b.seq = r.seq"
        " WHERE r.type = 'Patient' AND r.gone = 0 AND r.id IS NOT NULL ORDER BY r.seq LIMIT ?",
        [SHOWN],
    )
    return [(identity, _named(body)) for identity, body in rows]


def _named(body: bytes) -> str:
    try:
        patient: dict[str, Any] = orjson.loads(body)
        name = patient["name"][0]
        words = [*name.get("given", []), name.get("family", "")]
        return f"{' '.join(str(word) for word in words)}, born {patient.get('birthDate', '?')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "(without a name)"
