"""One typed settings object, read from the environment (`CHARTHOUSE_*`) and from nowhere else.

No other module reads the environment. Paths that are not set follow `home`, so two homes run side by side.
"""

from __future__ import annotations

import re
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from charthouse.errors import SetupError

PROJECT_ROOT = Path(__file__).resolve().parent.parent

Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]


def _shaped(pattern: str, what: str) -> AfterValidator:
    """Take a text of this shape only. The complaint never says what was given: that may hold a password."""

    def check(text: str) -> str:
        if text and not re.fullmatch(pattern, text, re.IGNORECASE):
            raise ValueError(what)
        return text

    return AfterValidator(check)


def _networks(text: str) -> str:
    """Take networks by commas, or the words for them."""
    for word in text.split(","):
        if word.strip() not in {"", "any", "loopback"}:
            try:
                ip_network(word.strip(), strict=False)
            except ValueError:
                raise ValueError("it is networks such as 10.1.0.0/16 by commas, loopback, or any") from None
    return text


StateUrl = Annotated[
    str,
    _shaped(r"sqlite:///.+|postgresql(\+psycopg2?)?://.+", "it begins with sqlite:/// or postgresql+psycopg://"),
]
Catalog = Annotated[str, _shaped(r"(sqlite|postgres):.+", "it begins with sqlite: or postgres:")]
KeyProvider = Annotated[str, _shaped(r"[a-z_][\w.]*:[a-z_]\w*", "it is module:function")]
WebUrl = Annotated[str, _shaped(r"https?://[^\s/@]+(/\S*)?", "it begins with http:// or https:// and has no login")]
MailUrl = Annotated[
    str,
    _shaped(
        r"(smtp|smtps|smtp\+starttls)://\S+|folder:///.+",
        "it begins with smtp://, smtps://, smtp+starttls:// or folder:///",
    ),
]
Line = Annotated[str, _shaped(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*", "it is one line of text")]
Memory = Annotated[str, _shaped(r"\d+(\.\d+)? ?[KMGT]i?B", "it is an amount such as 512MB or 2GB")]
Networks = Annotated[str, AfterValidator(_networks)]
RateLimit = Annotated[
    str, _shaped(r"\d+ ?(/|per) ?(\d+ ?)?(second|minute|hour|day)s?", "it is a rate such as 600/minute")
]


class Settings(BaseSettings):
    """Every knob of an installation. Each field is set by `CHARTHOUSE_<FIELD>` in upper case."""

    model_config = SettingsConfigDict(env_prefix="CHARTHOUSE_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Field(default=PROJECT_ROOT / "var", description="The folder of all run-time files.")
    state_url: StateUrl = Field(
        default="", description="SQLAlchemy URL of the state database; empty = SQLite under home."
    )
    vault_catalog: Catalog = Field(
        default="",
        description="DuckLake catalog of the vault (`sqlite:FILE` or `postgres:DSN`); empty = SQLite.",
    )
    records_catalog: Catalog = Field(
        default="", description="DuckLake catalog of the records; empty = SQLite under home."
    )
    vault_data: str = Field(default="", description="Folder or object-store prefix of the vault's files.")
    records_data: str = Field(default="", description="Folder or object-store prefix of the records' files.")
    key_file: Path | None = Field(
        default=None, description="The key that seals credentials; empty = home/keys/credentials.key."
    )
    keys: SecretStr = Field(
        default=SecretStr(""), description="Keys that seal, newest first, separated by commas; empty = from key_file."
    )
    key_provider: KeyProvider = Field(
        default="",
        description="A function that gives the keys, as module:name (plugins.sealing_keys:of_connection for Airflow's "
        "connection charthouse_keys); empty = from key_file.",
    )

    client_id: str = Field(default="charthouse", description="OAuth 2.0 client id that providers know us by.")
    batch_links: Count = Field(default=100, description="Links in one mapped batch of the nightly run.")
    max_batches: Count = Field(
        default=300, description="Most mapped batches in one run; batches grow beyond batch_links to keep it."
    )
    fetch_threads: Count = Field(
        default=8, description="Requests at once within one batch, of its links and their types."
    )
    page_size: Count = Field(
        default=1000, description="`_count` asked of a search page at first; halved where a server cannot do it."
    )
    requests_per_second: float = Field(
        default=200.0, gt=0, description="Requests that one provider's host gets, of all workers together."
    )
    connect_timeout: float = Field(default=10.0, gt=0, description="Seconds to connect to a provider.")
    request_timeout: float = Field(default=30.0, gt=0, description="Seconds for the next byte of an HTTP answer.")
    page_timeout: float = Field(default=300.0, gt=0, description="Seconds for one whole answer, however it drips.")
    request_tries: Count = Field(default=4, description="Tries for one request on 429, 5xx or a lost line.")
    retry_wait_max: float = Field(
        default=120.0, ge=0, description="Most seconds to wait between tries, whatever Retry-After says."
    )
    host_patience: float = Field(
        default=300.0, ge=0, description="Seconds for which a host that fails every request is waited for."
    )
    private_addresses: Networks = Field(
        default="",
        description="Private networks in which providers may be, by commas (10.1.0.0/16, loopback); `any` permits all.",
    )
    overlap_seconds: float = Field(
        default=300.0,
        ge=0,
        description="Seconds before what was read last from which on is asked again: servers show some things late.",
    )
    whole_days: int = Field(
        default=7,
        ge=0,
        description="Days after which a link is asked for everything again, spread over the nights; 0 = never.",
    )
    attachment_bytes: int = Field(
        default=20 * 2**20,
        ge=0,
        description="Most bytes of a document that a record shows and that is read for it; 0 reads none.",
    )
    fetch_time_max: float = Field(
        default=7200.0, gt=0, description="Seconds that one batch may fetch; what is left waits for the next night."
    )
    bulk_wait_max: float = Field(
        default=21_600.0, gt=0, description="Seconds that a night waits for an export; the next one takes it up."
    )
    bulk_threads: Count = Field(default=4, description="Files of one export read side by side.")
    refresh_links: Count = Field(default=20_000, description="Most links of one provider refreshed in one hour.")
    refresh_threads: Count = Field(default=16, description="Concurrent refreshes at one provider.")
    refresh_time_max: float = Field(
        default=2400.0, gt=0, description="Seconds that a provider's refresh may take; the rest waits an hour."
    )
    verification_days: int = Field(
        default=365, ge=0, description="Days for which a verified identity holds; 0 = for good."
    )
    verification_level: Literal["IAL1", "IAL2", "IAL3"] = Field(
        default="IAL2", description="Identity assurance that a search by a partner needs (NIST SP 800-63A)."
    )
    network_search_days: Count = Field(
        default=7, description="Days after which a partner searches for a person's providers again."
    )
    network_search_hours: float = Field(
        default=48.0, gt=0, description="Hours that a partner's search may take before it is begun anew."
    )
    network_time_max: float = Field(
        default=14_400.0, gt=0, description="Seconds that one look at a partner's people may take; the rest waits."
    )
    network_message_minutes: Count = Field(
        default=5, description="Minutes by which a partner's message may be old, or ahead, when it comes."
    )
    identity_message_hours: Count = Field(
        default=48, description="Hours by which a message of a verifier of identities may be old when it comes."
    )
    max_pages: Count = Field(default=10_000, description="Most pages of one search before it is given up.")

    build_group_resources: Count = Field(default=100_000, description="Resource versions built in one mapped task.")
    duckdb_memory: Memory = Field(default="256MB", description="DuckDB's memory_limit in each task.")
    duckdb_threads: Count = Field(default=2, description="DuckDB's threads in each task.")
    failure_threshold: float = Field(
        default=0.5, ge=0, le=1, description="Share of links that may fail before the run itself fails."
    )

    public_url: WebUrl = Field(default="", description="The address at which people's browsers reach the REST API.")
    service_name: Line = Field(default="Charthouse", description="What people know this service as; notices say it.")
    app_url: WebUrl = Field(default="", description="Where the button of a mail leads: the app; empty = no button.")
    webhook_url: WebUrl = Field(
        default="", description="Where the app's push service takes notices; empty = no push notices."
    )
    coach_webhook_url: WebUrl = Field(
        default="",
        description="Where a back end with an index hears that the coach's feed has changed; empty = it asks.",
    )
    smtp_url: MailUrl = Field(
        default="",
        description="How mail leaves: smtp://USER:PASSWORD@HOST:PORT, smtps://, smtp+starttls://, or folder:///PATH "
        "that keeps .eml files; empty = no mail server: nights and `make airflow` put mails into home/mail.",
    )
    mail_from: Line = Field(default="", description="Whom mails are from: `Name <address>`, or an address.")
    apprise_services: Line = Field(
        default="discord pbul pover slack tgram",
        description="Apprise schemas that contacts may use: services whose host is fixed, so that no contact of a "
        "person leads into your network.",
    )
    notice_timeout: float = Field(default=15.0, gt=0, description="Seconds for one answer of a notice's receiver.")
    notice_threads: Count = Field(default=8, description="Notices on their way at once.")
    notices_max_age: float = Field(
        default=7 * 86400.0, gt=0, description="Seconds after which a notice that could not be sent is given up."
    )
    api_port: Port | None = Field(default=None, description="Port of `charthouse serve`; empty = a free one.")
    api_audience: str = Field(default="charthouse", description="The audience (`aud`) that service tokens must name.")
    api_token_minutes: Count = Field(default=15, le=60, description="Most minutes that a service token may live.")
    api_backend_keys: Path | None = Field(
        default=None, description="A file with the JWK set of the back end, whose own service tokens are taken too."
    )
    api_backend_issuer: str = Field(default="app", description="The issuer (`iss`) of the back end's own tokens.")
    mcp_authorization_server: WebUrl = Field(
        default="",
        description="The issuer of tokens, as MCP clients are told of it; empty = none is named.",
    )
    api_limit: RateLimit = Field(default="600/minute", description="Requests that one caller may make of the REST API.")
    api_page_limit: RateLimit = Field(
        default="120/minute", description="Requests of one address for pages, and those with a bad token."
    )
    api_limits_url: str = Field(
        default="", description="Where requests are counted (redis://…); empty = in the memory of each process."
    )
    api_proxies: str = Field(
        default="",
        description="Addresses of reverse proxies, by commas, whose X-Forwarded headers are believed.",
    )
    return_origins: str = Field(
        default="",
        description="Where people may be sent back to: origins (https://app.example) and schemes (myapp:), by commas.",
    )
    terms_url: WebUrl = Field(default="", description="The terms that the page before a sign-in leads to.")

    phone_upload_bytes: Count = Field(default=500_000_000, description="Most bytes of one upload of a phone.")

    export_part_bytes: int = Field(
        default=2_000_000_000, ge=1_000_000, description="Size at which an export goes on in another ZIP."
    )
    export_keep_days: Count = Field(default=7, description="Days after which a finished export is deleted.")
    download_minutes: Count = Field(default=60, description="Minutes that a link to an export's file is good for.")
    erasure_wait_days: int = Field(
        default=0, ge=0, le=30, description="Days in which somebody may take back that they want to be erased."
    )
    request_due_days: Count = Field(default=45, description="Days in which the law wants a request to be done.")
    tombstone_file: Path | None = Field(
        default=None,
        description="Where tombstones of erased people are kept beside the state, so that they outlive a restored "
        "backup; empty = home/keys/tombstones.jsonl.",
    )
    audit_anchor_file: Path | None = Field(
        default=None,
        description="Where the end of the audit trail is noted after each event, best where who can change the "
        "database cannot write; empty = home/keys/audit.anchors.",
    )
    request_alarm_days: Count = Field(
        default=15, description="Days before its due date from which an open request raises an alarm."
    )
    retention: dict[str, int | None] = Field(
        default_factory=dict,
        description='Days in place of those of the retention table, as JSON: {"logs": 90}; null keeps for good.',
    )
    airflow_database_url: SecretStr = Field(
        default=SecretStr(""),
        description="SQLAlchemy URL of Airflow's own database, which tasks do not know otherwise: erasures look "
        "into it, and `keep_retention` trims it; empty = the one under home.",
    )

    airflow_port: Port | None = Field(default=None, description="Port of Airflow's web server; empty = a free one.")
    sandbox_port: Port | None = Field(default=None, description="Port of the sandbox; empty = a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that our own logs say."
    )
    log_file: str = Field(
        default="",
        description="Where commands and `charthouse serve` log, as lines of JSON; - for the error output; empty = "
        "home/logs/charthouse-YYYYMM.log.",
    )
    crash_at: str = Field(
        default="", description="Crash tests only: the named fault point at which the process kills itself."
    )

    clock_file: Path | None = Field(
        default=None, description="Tests only: a file that holds how many seconds the clock is ahead."
    )

    @property
    def state_database(self) -> str:
        """SQLAlchemy URL of the state database."""
        return self.state_url or f"sqlite:///{self.home / 'state.sqlite'}"

    @property
    def credentials_key(self) -> Path:
        """The file that holds the key which seals tokens."""
        return self.key_file or self.home / "keys" / "credentials.key"

    @property
    def tombstones(self) -> Path:
        """The file that remembers what was erased, apart from what backups restore."""
        return self.tombstone_file or self.home / "keys" / "tombstones.jsonl"

    @property
    def airflow_metadata(self) -> str:
        """SQLAlchemy URL of Airflow's own database."""
        return self.airflow_database_url.get_secret_value() or f"sqlite:///{self.home / 'airflow' / 'airflow.db'}"

    @property
    def audit_anchors(self) -> Path:
        """The file that knows where the audit trail ended last."""
        return self.audit_anchor_file or self.home / "keys" / "audit.anchors"

    @property
    def exports(self) -> Path:
        """Where finished exports wait to be taken away, encrypted; a folder a request."""
        return self.home / "exports"

    @property
    def receipts(self) -> Path:
        """Where receipts of what was done for people are kept, a file each."""
        return self.home / "receipts"

    @property
    def sandbox_address(self) -> Path:
        """The port of the sandbox that this home runs, on loopback; there while it runs."""
        return self.home / "sandbox" / "port"

    @property
    def uploads(self) -> Path:
        """Where what phones upload waits for a night, encrypted; a folder a link."""
        return self.home / "uploads"

    @property
    def landing(self) -> Path:
        """Where fetched pages wait; a folder a run."""
        return self.home / "landing"

    @property
    def staging(self) -> Path:
        """Where built rows wait for the audit; a folder a run."""
        return self.home / "staging"


@cache
def get_settings() -> Settings:
    """The settings of this process.

    Raises:
        SetupError: CH001 for a variable that does not fit its type.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "CHARTHOUSE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SetupError("CH001", where=name, what=first["msg"].removeprefix("Value error, ")) from None
    return settings.model_copy(update={"home": settings.home.expanduser().resolve()})
