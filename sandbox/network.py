"""A partner network: it knows people by their own word, looks for them at the providers it reaches, and connects them.

It follows what b.well publishes (developer.bwell.com, "Application APIs", "Smart Connect"; the readme files of its FHIR
server) and knows nothing of its clients. Whom it knows, and who may ask, is remembered beside its plan; its habits and
tokens end with its process. A person is found at a provider by family name, first given name and birth date.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from sandbox.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.provider import Provider

Way = Literal["automatic", "sign_in"]
ACTIVE: Final = frozenset({"CONNECTED", "EXPIRED", "DISCONNECTED"})
"""Statuses of connections whose data the network still has."""
_NAMESPACE: Final = uuid.UUID("6f1c3a52-53b5-4b9a-8b64-3c0b0a4f2f7e")


class Organization(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A provider that the network reaches. `provider` is the store that it serves; `way` is how people connect."""

    id: str
    name: str
    provider: str
    way: Way = "automatic"
    patients: tuple[str, ...] | None = None
    """Those of its patients whom the network knows of; None for all."""


class Client(msgspec.Struct, forbid_unknown_fields=True):
    """Who may speak for its users: the issuer of their identity tokens, its keys, and where it takes messages."""

    client_key: str
    secret: str
    issuer: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None


class Habits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the network behaves, its faults included; all off at first.

    `search_looks`: how often a search's task is looked at before it ends; `search_never_ends`. `retrieving_looks`: how
    often connections are listed before they are RETRIEVED. `late_outcome` ends each stream after so many lines with an
    OperationOutcome, `cut` hangs up there; each for the next `times` streams. `deaf_to_above` passes over `id:above`.
    `foreign_patient` puts another person's Patient and records into streams; `sends_hidden` those with hidden and
    restricted tags. `status` and `sync_status` are words in place of all connections' own. `vanished` are organisations
    that are listed no more. `refuses` answers the API with this status. `rate` is how many requests a second it takes.
    """

    search_looks: Annotated[int, msgspec.Meta(ge=0)] = 0
    search_never_ends: bool = False
    retrieving_looks: Annotated[int, msgspec.Meta(ge=0)] = 0
    late_outcome: int | None = None
    cut: int | None = None
    times: int = 1
    deaf_to_above: bool = False
    foreign_patient: bool = False
    sends_hidden: bool = False
    status: str | None = None
    sync_status: str | None = None
    vanished: tuple[str, ...] = ()
    refuses: int | None = None
    rate: float | None = None
    slow_lines: float = 0


@dataclass(slots=True)
class Connection:
    """A person at an organisation, with the two axes of its state."""

    organization: Organization
    patient: str
    status: str = "CONNECTED"
    sync_status: str = "PENDING"
    created: str = field(default_factory=lambda: _instant())
    looks: int = 0


@dataclass(slots=True)
class Person:
    """A user of the network's: `key` is the client's identifier of them."""

    key: str
    client_key: str
    id: str
    given: tuple[str, ...] = ()
    family: str = ""
    birth_date: str = ""
    consent: str | None = None
    consents: list[dict[str, Any]] = field(default_factory=list)
    task: str | None = None
    task_looks: int = 0
    searches: int = 0
    connections: dict[str, Connection] = field(default_factory=dict)
    recommended: dict[str, str] = field(default_factory=dict)
    """By organisation, the patient that a sign-in will connect."""


class Network:
    """The network. Safe between threads."""

    def __init__(
        self, organizations: list[Organization], providers: Mapping[str, Provider], memory: Memory | None = None
    ) -> None:
        self.organizations = {one.id: one for one in organizations}
        self.providers = providers
        self.memory = memory or Memory()
        self.clients = self.memory.all("client", Client)
        self.people = self.memory.all("person", Person)
        self.deleted = list(self.memory.all("deleted", bool))
        for person in self.people.values():
            for connection in person.connections.values():
                name = connection.organization.id
                connection.organization = self.organizations.get(name, connection.organization)
        self.habits = Habits()
        self.faults_left = 0
        self.lock = threading.RLock()
        self._known: dict[str, dict[tuple[str, str, str], list[str]]] = {}

    def register(self, client: Client) -> None:
        """Let a client speak for its users."""
        with self.lock:
            self.clients[client.client_key] = client
            self.memory.put("client", client.client_key, client)

    def behave(self, habits: Habits) -> None:
        """Behave so from now on."""
        with self.lock:
            self.habits, self.faults_left = habits, habits.times

    def authenticated(self, client_key: str, claims: Mapping[str, Any]) -> Person:
        """The person of an identity token, created at their first."""
        key = str(claims["sub"])
        with self.lock:
            person = self.people.get(key)
            if person is None:
                person = self.people[key] = Person(key, client_key, str(uuid.uuid5(_NAMESPACE, key)))
            given, family = str(claims.get("given_name") or ""), str(claims.get("family_name") or "")
            if given or family:
                person.given, person.family = tuple(given.split()), family
            person.birth_date = str(claims.get("birthdate") or person.birth_date)
            self._remember(person)
            return person

    def describe(self, person: Person, said: Mapping[str, Any]) -> None:
        """Take a person's name and birth date from their client (`updateUserProfile`)."""
        with self.lock:
            person.given, person.family = tuple(said["name"][0]["given"]), said["name"][0]["family"]
            person.birth_date = said["birthDate"]
            self._remember(person)

    def consent(self, person: Person, said: Mapping[str, Any]) -> dict[str, Any]:
        """Take a consent: the one before of its category is inactive from now on. One to import begins a search."""
        category = said["category"][0]["coding"][0]["code"]
        provision, status = str(said["provision"]["type"]).upper(), str(said["status"]).upper()
        made = {
            "id": str(uuid.uuid4()),
            "status": status.lower(),
            "provision": {"type": provision},
            "category": [{"coding": [{"code": category.lower().replace("_", ":")}]}],
        }
        with self.lock:
            for before in person.consents:
                if before["category"] == made["category"]:
                    before["status"] = "inactive"
            person.consents.append(made)
            if category == "IAS_IMPORT_RECORDS":
                if (provision, status) == ("PERMIT", "ACTIVE"):
                    person.consent, person.task, person.task_looks = "PERMIT", "in-progress", 0
                    person.searches += 1
                else:
                    person.consent, person.task = "DENY", "rejected"
                    for connection in person.connections.values():
                        connection.status = "ACCESS_ENDED"
                    person.recommended.clear()
            self._remember(person)
        return made

    def tasks(self, person: Person) -> list[dict[str, Any]]:
        """The task of the person's search, looked at once more."""
        with self.lock:
            if person.task is None:
                return []
            if person.task == "in-progress" and not self.habits.search_never_ends:
                if person.task_looks >= self.habits.search_looks:
                    self._locate(person)
                    person.task = "completed"
                person.task_looks += 1
                self._remember(person)
            coding = {"system": "https://www.icanbwell.com/activity-type", "code": "network-data-retrieval"}
            return [
                {
                    "resourceType": "Task",
                    "id": str(uuid.uuid5(_NAMESPACE, f"task {person.key}")),
                    "status": person.task,
                    "intent": "order",
                    "code": {"coding": [coding]},
                    "for": {"reference": f"Person/{person.id}"},
                }
            ]

    def connections(self, person: Person) -> list[dict[str, Any]]:
        """What `getMemberConnections` lists: not what has no data any more."""
        listed = []
        with self.lock:
            for connection in person.connections.values():
                organization = connection.organization
                if connection.sync_status == "DATA_DELETED" or organization.id in self.habits.vanished:
                    continue
                if connection.looks >= self.habits.retrieving_looks and connection.sync_status != "RETRIEVED":
                    connection.sync_status = "RETRIEVED"
                connection.looks += 1
                listed.append(
                    {
                        "id": organization.id,
                        "name": organization.name,
                        "category": "IDENTITY" if organization.way == "automatic" else "OAUTH",
                        "integrationType": "DIRECT_IAS" if organization.way == "automatic" else "INDIRECT_IAS",
                        "type": "PRACTITIONER",
                        "status": self.habits.status or connection.status,
                        "syncStatus": self.habits.sync_status or connection.sync_status,
                        "syncErrors": None,
                        "statusUpdated": _instant(),
                        "lastSynced": _instant(),
                        "created": connection.created,
                    }
                )
            self._remember(person)
        return listed

    def subscription_statuses(self, person: Person) -> list[dict[str, Any]]:
        """The SubscriptionStatus of each connection (Health Record Retrieval)."""
        base = "https://www.icanbwell.com/codes"
        with self.lock:
            rows = [
                {
                    "source_patient_id": one.patient,
                    "connection_name": one.organization.name,
                    "category": "Provider",
                    "token-status": one.status,
                    "data-connection-status": one.sync_status,
                    "service_slug": one.organization.id,
                }
                for one in person.connections.values()
            ]
        return [
            {
                "resourceType": "SubscriptionStatus",
                "id": str(uuid.uuid5(_NAMESPACE, f"subscription {person.key} {row['service_slug']}")),
                "status": "active",
                "type": "event-notification",
                "extension": [{"id": key, "url": f"{base}/{key}", "valueString": value} for key, value in row.items()],
                "error": [],
            }
            for row in rows
        ]

    def care_teams(self, person: Person) -> list[dict[str, Any]]:
        """The CareTeam of what waits for a sign-in."""
        with self.lock:
            waiting = [self.organizations[name] for name in person.recommended if name not in self.habits.vanished]
        if not waiting:
            return []
        return [
            {
                "resourceType": "CareTeam",
                "id": str(uuid.uuid5(_NAMESPACE, f"team {person.key}")),
                "category": [{"coding": [{"code": "recommended-connections"}]}],
                "participant": [
                    {
                        "member": {
                            "reference": f"Organization/{one.id}",
                            "identifier": {"system": "https://www.icanbwell.com/connection", "value": one.id},
                            "display": one.name,
                        }
                    }
                    for one in waiting
                ],
            }
        ]

    def signed_in(self, person: Person, organization: str) -> bool:
        """The person signed in at an organisation. Whether there was one that waited for that."""
        with self.lock:
            held = person.connections.get(organization)
            if held is not None:
                held.status, held.sync_status, held.looks = "CONNECTED", "PENDING", 0
                self._remember(person)
                return True
            patient = person.recommended.pop(organization, None)
            if patient is None:
                return False
            person.connections[organization] = Connection(self.organizations[organization], patient)
            self._remember(person)
            return True

    def move(self, person: Person, organization: str, status: str) -> Connection | None:
        """Let a connection be of this status; None where there is none."""
        with self.lock:
            connection = person.connections.get(organization)
            if connection is not None:
                connection.status = status
                if status == "DELETED":
                    connection.sync_status = "DATA_DELETED"
                self._remember(person)
            return connection

    def forget(self, key: str) -> bool:
        """Delete a person."""
        with self.lock:
            self.deleted.append(key)
            self.memory.put("deleted", key, True)
            self.memory.drop("person", key)
            return self.people.pop(key, None) is not None

    def _remember(self, person: Person) -> None:
        if self.people.get(person.key) is person:  # a request of somebody who was just deleted brings nobody back
            self.memory.put("person", person.key, person)

    def _locate(self, person: Person) -> None:
        """Look for the person at all organisations."""
        if not person.given:
            return
        for organization in self.organizations.values():
            known = self._patients_of(organization)
            named = (person.family.casefold(), person.given[0].casefold(), person.birth_date)
            for patient in known.get(named, []):
                if organization.patients is not None and patient not in organization.patients:
                    continue
                if organization.id in person.connections:
                    continue
                if organization.way == "automatic":
                    person.connections[organization.id] = Connection(organization, patient)
                else:
                    person.recommended.setdefault(organization.id, patient)

    def _patients_of(self, organization: Organization) -> dict[tuple[str, str, str], list[str]]:
        """The patients of an organisation's provider, by who they are."""
        known = self._known.get(organization.provider)
        if known is None:
            known = self._known[organization.provider] = {}
            for identity, body in self.providers[organization.provider].store.patients():
                patient = msgspec.json.decode(body)
                for name in patient.get("name") or ():
                    given = (name.get("given") or [""])[0]
                    key = (str(name.get("family", "")).casefold(), given.casefold(), str(patient.get("birthDate")))
                    if identity not in known.setdefault(key, []):
                        known[key].append(identity)
        return known


def _instant() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
