"""Partner networks: who finds a person's providers, and hands their records on. One small interface for all of them.

Which partner serves which region is data (`charthouse/linking/data/regions.json`); the partner of a region is a class
(`charthouse.partners.registry`) that does what `Network` says, in its own protocol. Linking and nights know no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charthouse.partners.hosts import Hosts
    from charthouse.settings import Settings

SearchState = Literal["none", "ready", "running", "done", "failed", "refused", "unknown"]
"""How a search stands: never asked for; to begin; under way; ended; broken; not permitted; a word that nobody knows."""
Access = Literal["connected", "expired", "ended", "unknown"]
"""What a connection gives: records; nothing until somebody signs in again; nothing any more; nobody knows."""
Retrieval = Literal["waiting", "retrieving", "retrieved", "failed", "deleted", "unknown"]


@dataclass(frozen=True, slots=True)
class Account:
    """How a partner is reached, opened. Its repr shows no secret. `webhook_secrets` are those in force."""

    partner: str
    api_url: str
    fhir_base_url: str
    users_url: str | None
    client_key: str
    secret: str = field(repr=False)
    webhook_url: str | None
    webhook_secrets: tuple[str, ...] = field(repr=False)
    requests_per_second: float


@dataclass(frozen=True, slots=True, repr=False)
class Who:
    """A person as a partner has to know them: our key for them, their names and birth date (YYYY-MM-DD)."""

    key: str
    given: tuple[str, ...]
    family: str
    birth_date: str

    def __repr__(self) -> str:
        return "Who(…)"


@dataclass(frozen=True, slots=True)
class Search:
    """How a person's search stands; `said` is the partner's own word."""

    state: SearchState
    said: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A provider that the partner holds a connection to, or recommends one to. `errors` are the partner's own codes.

    `organization` is the partner's id of the connection; `patient_id` who the person is there, where that is known.
    """

    organization: str
    name: str
    waits_for_sign_in: bool
    patient_id: str | None = field(default=None, repr=False)
    access: Access = "unknown"
    retrieval: Retrieval = "unknown"
    status_said: str = ""
    sync_said: str = ""
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the partner's that was signed for us. `person_key` is our key of whom it is about, if it says."""

    message_id: str
    event: str
    person_key: str | None


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a person's records are streamed from, and what to ask with: `token` is called with True for a new one.

    `after` is the parameter by which a stream goes on behind the last id that came; None where there is none.
    """

    url: str = field(repr=False)
    accept: str
    token: Callable[[bool], str] = field(repr=False)
    after: str | None = None


class Network(Protocol):
    """What linking and nights ask of a partner network. All of it may be asked again.

    Every method raises `FetchError`: CH175 where the partner does not take us for its client, CH176 where it does not
    answer, CH177 where it refuses; the numbers of reading (CH101 …) from its FHIR server.
    """

    routes: frozenset[str]

    def __init__(
        self, account: Account, identity: Callable[[Who], str], settings: Settings, hosts: Hosts | None = None
    ) -> None: ...

    def person(self, who: Who) -> str:
        """The partner's id of a person, who is made known to it if they are not yet."""

    def permit(self, who: Who) -> None:
        """Tell that the person agrees to the search: the partner begins one, or begins anew."""

    def forbid(self, who: Who) -> None:
        """Tell that the person took that back: no search, and nothing of one, from now on."""

    def search(self, who: Who) -> Search:
        """How the person's search stands."""

    def found(self, who: Who) -> list[Found]:
        """Everything that was found for the person, and what waits for their sign-in."""

    def patient(self, who: Who, patient_id: str) -> Mapping[str, Any] | None:
        """The Patient of a connection; None where what came is none."""

    def sign_in_url(self, who: Who, organization: str) -> str:
        """Where the person signs in at a found provider. It is theirs alone, and never logged."""

    def disconnect(self, who: Who, organization: str) -> None:
        """End one connection: nothing is retrieved any more. What was retrieved stays with the partner."""

    def delete(self, who: Who, organization: str) -> None:
        """End one connection, and have the partner delete what it retrieved by it."""

    def forget(self, key: str) -> bool:
        """Have the partner delete a whole person, by our key. Whether it was told: not all can be."""

    def everything(self, who: Who, partner_person_id: str, since: str | None) -> Stream:
        """The person's records as one stream; with `since`, those changed after an instant of the partner's."""

    def message(self, headers: Mapping[str, str], body: bytes) -> Message:
        """What a message says, once its signature and its instant hold.

        Raises:
            FetchError: CH186, CH187, CH188.
        """

    def close(self) -> None:
        """Close the connections."""
