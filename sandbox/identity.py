"""A verifier of identities: projects, sessions, what people show it, and what it decides.

It follows what CLEAR publishes (its OpenAPI document "CLEAR1", its webhooks, its reason codes) and knows nothing of its
clients. A made-up person chooses on its page how their verification ends. Projects, sessions and users are remembered
in a file, where one is named; its habits end with its process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson
import requests

from sandbox.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping

LIVES: Final = 3600
OUTCOMES: Final[Mapping[str, tuple[str, str, list[str]]]] = {
    "success": ("success", "source_validation", ["SV203"]),
    "review": ("awaiting_manual_review", "source_validation", []),
    "phone": ("fail", "phone_ownership", ["SV404", "SV407"]),
    "region": ("fail", "source_validation", ["SV301"]),
    "expired_id": ("fail", "document_not_expired", []),
    "sources": ("fail", "source_validation", ["SV413", "SV420"]),
    "face": ("fail", "selfie_liveness", []),
    "cancel": ("canceled", "", []),
}
"""What a person can choose: the session's status, the check that decides it, its reason codes."""
_SIGNS: Final = string.ascii_letters + string.digits


class Project(msgspec.Struct, forbid_unknown_fields=True):
    """A client's project: its key, and where it takes messages."""

    project_id: str
    api_key: str
    webhook_url: str | None = None
    webhook_secret: str | None = None
    webhook_token: str | None = None
    """Stands as a Bearer token beside the signature of each message."""


class Habits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How it behaves, its faults included; all off at first.

    `times`: how often each message is sent. `reordered` sends the last one first. `wrong_hmac` takes a wrong secret.
    `silent` sends none by itself. `status` stands in place of each session's own. `refuses` answers the API with this
    status. `one_user` gives everybody the same user id; `traitless` tells nothing of the person, `document_alone` what
    their document says of them and no more. `one_session` gives everybody the same session.
    """

    times: int = 1
    reordered: bool = False
    wrong_hmac: bool = False
    silent: bool = False
    status: str | None = None
    refuses: int | None = None
    one_user: bool = False
    traitless: bool = False
    document_alone: bool = False
    one_session: bool = False


@dataclass
class Session:
    """One verification."""

    id: str
    token: str
    project: Project
    redirect_url: str | None
    created_at: int
    status: str = "awaiting_user_input"
    completed_at: int | None = None
    user_id: str | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)
    traits: dict[str, Any] = field(default_factory=dict)


class Identities:
    """The verifier: its projects, sessions and users."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.projects = self.memory.all("project", Project)
        self.sessions = self.memory.all("session", Session)
        self.users = self.memory.all("user", str)
        for session in self.sessions.values():
            session.project = self.projects.get(session.project.project_id, session.project)
        self.habits = Habits()
        self.lock = threading.Lock()
        self.sent: list[int] = []

    def register(self, project: Project) -> None:
        """Let a client's project be asked for, as it is from now on."""
        with self.lock:
            self.projects[project.project_id] = project
            self.memory.put("project", project.project_id, project)
            for session in self.sessions.values():
                if session.project.project_id == project.project_id:
                    session.project = project

    def begin(self, project: Project, redirect_url: str | None) -> Session:
        """A session of a project."""
        with self.lock:
            if self.habits.one_session and self.sessions:
                return next(reversed(self.sessions.values()))
            made = Session(_id("verify"), secrets.token_urlsafe(32), project, redirect_url, int(time.time()))
            self.sessions[made.id] = made
            self.memory.put("session", made.id, made)
        self.tell(made, "created")
        return made

    def of_token(self, token: str) -> Session | None:
        """The session that a token of its page is for."""
        return next((one for one in list(self.sessions.values()) if secrets.compare_digest(one.token, token)), None)

    def decide(self, session: Session, outcome: str, person: Mapping[str, str]) -> None:
        """End a session as its person chose, with what they showed."""
        status, check, reasons = OUTCOMES[outcome]
        good = status == "success"
        born = [int(part) for part in person["birth_date"].split("-")]
        known_by = "|".join((person["first_name"].lower(), person["last_name"].lower(), person["birth_date"]))
        with self.lock:
            known_by = "" if self.habits.one_user else known_by
            session.user_id = self.users.setdefault(known_by, _id("user"))
            self.memory.put("user", known_by, session.user_id)
            session.completed_at = int(time.time())
            session.status = status
            result = "success" if good else "not_applicable" if outcome == "region" else "failure"
            value = True if good else None if outcome == "region" else False
            session.checks = [
                {"name": "email_verified", "value": True, "status": "completed", "check_result": "success"},
                {"name": check, "value": value, "status": "completed", "check_result": result, "reason_codes": reasons},
            ][: 2 if check else 1]
            expiry = {"year": 2020 if outcome == "expired_id" else 2045, "month": 1, "day": 2}
            session.traits = {
                "first_name": person["first_name"],
                "last_name": person["last_name"],
                "dob": {"year": born[0], "month": born[1], "day": born[2]},
                "phone": "+15555550123",
                "ssn4": "0981",
                "document": {
                    "document_type": "drivers_license",
                    "document_number": "D1234-CANARY-981",
                    "first_name": person["first_name"],
                    "last_name": person["last_name"],
                    "date_of_birth": {"year": born[0], "month": born[1], "day": born[2]},
                    "issuing_country": "USA",
                    "date_of_expiry": expiry,
                },
                "document_front": "Q0FOQVJZLUlNQUdF" * 64,
            }
            self.memory.put("session", session.id, session)
        self.tell(session, "status_update", "completed")

    def review(self, session: Session, status: str) -> None:
        """Let somebody decide a session by hand."""
        with self.lock:
            session.status = status
            self.memory.put("session", session.id, session)
        self.tell(session, "status_update")

    def shown(self, session: Session) -> dict[str, Any]:
        """A session as the API answers with it. What is sensitive is told to whoever asks for it: nobody does here."""
        habits = self.habits
        over = session.completed_at is not None
        hidden = ("ssn4", "document_front")
        traits = {name: value for name, value in session.traits.items() if name not in hidden}
        if habits.document_alone:
            traits = {"document": session.traits.get("document")}
        said: dict[str, Any] = {
            "id": session.id,
            "object_name": "verification_session",
            "authenticated": over,
            "checks": session.checks,
            "created_at": session.created_at,
            "expires_at": session.created_at + LIVES,
            "updated_at": session.completed_at or session.created_at,
            "fields_to_collect": [] if over else ["phone", "email", "document", "selfie"],
            "redirect_url": session.redirect_url,
            "status": habits.status or session.status,
            "token": session.token,
            "project_id": session.project.project_id,
            "ip": ["198.51.100.7"],
        }
        if over:
            said |= {"completed_at": session.completed_at}
        if over and not habits.traitless:
            said |= {"user_id": session.user_id, "traits": traits, "email": "canary@mail.example"}
        return said

    def tell(self, session: Session, *events: str) -> None:
        """Send messages about a session on a thread of their own, as habits have it."""
        habits, project = self.habits, session.project
        if habits.silent or project.webhook_url is None:
            return
        at = int(time.time())
        bodies = [one for name in events for one in [message(_id("event"), name, session.id, at)] * habits.times]
        ordered = bodies[::-1] if habits.reordered else bodies
        secret = "another secret" if habits.wrong_hmac else str(project.webhook_secret)

        def send() -> None:
            for body in ordered:
                self.sent.append(deliver(project, body, secret=secret))

        threading.Thread(target=send, daemon=True).start()


def message(identity: str, event: str, session_id: str, at: float) -> bytes:
    """An event (Webhooks). It tells no state."""
    said = {"event_id": identity, "event_type": f"event_verification_session_{event}_v1", "object_name": "event"}
    return orjson.dumps(said | {"created_at": int(at), "data": {"verification_session_id": session_id}})


def deliver(project: Project, body: bytes, *, secret: str | None = None) -> int:
    """Send a message to a project; the status of its answer, 0 for none."""
    signed = hmac.new((secret or str(project.webhook_secret)).encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-CLEAR-HMAC-SHA256": signed}
    if project.webhook_token is not None:
        headers["Authorization"] = f"Bearer {project.webhook_token}"
    try:
        return requests.post(str(project.webhook_url), data=body, headers=headers, timeout=5).status_code
    except requests.RequestException:
        return 0


def _id(kind: str) -> str:
    return f"{kind}_{''.join(secrets.choice(_SIGNS) for _ in range(33))}"
