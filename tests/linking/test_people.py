"""Accounts, who may link, consents, registrations, and what a refused person is told."""

from __future__ import annotations

import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from charthouse.errors import CATALOGUE, LinkError, StateError
from charthouse.linking import consents, eligibility, links, people, providers, registrations
from charthouse.linking.identity import identity_of, parse_identity
from charthouse.linking.refusals import Message, has_message, languages, message_for
from charthouse.linking.regions import age_rule, region_of, today_in
from charthouse.linking.states import TRANSITIONS
from charthouse.operating.cli import app
from charthouse.partners import registry
from charthouse.settings import get_settings
from charthouse.state import audit, session
from charthouse.state.linking import Removal

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

JANE = {"names": [{"given": ["Canaryjane"], "family": "Canarydoe"}], "birth_date": "1980-02-29"}
BORN_2008 = {**JANE, "birth_date": "2008-02-29"}


def make(state: Session, identity: dict[str, Any] | None = JANE, **more: Any) -> str:
    said = None if identity is None else parse_identity(identity)
    return people.create_person(state, identity=said, **more).person_key


def _written(home: Path) -> list[Path]:
    return [file for file in home.glob("state.sqlite*") if file.is_file()]


def refused(state: Session, key: str, slug: str = "clinic", route: Any = "direct", **more: Any) -> str | None:
    try:
        eligibility.check_may_link(state, key, slug, route, **more)
    except LinkError as error:
        return error.code
    return None


def test_who_may_link_may(home: Path) -> None:
    with session() as state:
        assert refused(state, make(state)) is None
        assert refused(state, make(state, android_version=14), route="phone") is None


def test_each_reason_why_not_has_its_code_and_a_text_of_its_own(home: Path) -> None:
    with session() as state:
        providers.register_provider(state, slug="far", name="F", fhir_base_url="https://far.example", region="FR")
        providers.register_provider(state, slug="shut", name="S", fhir_base_url="https://shut.example", active=False)
        jane = make(state)
        waiting = make(state)
        link = links.start_link(state, waiting, "clinic", "direct")
        state.add(Removal(person_key=waiting, link_id=link.id, reason="minor_found"))
        state.flush()
        found = {
            "CH610": refused(state, make(state, None)),
            "CH611": refused(state, make(state, BORN_2008), today=date(2026, 2, 28)),
            "CH612": refused(state, jane, "far"),
            "CH613": refused(state, jane, "shut"),
            "CH614": refused(state, make(state, android_version=14), route="verified"),
            "CH615": refused(state, make(state, android_version=13), route="phone"),
            "CH616": refused(state, make(state, preview_member=False)),
            "CH617": refused(state, waiting),
        }
        assert found == {code: code for code in found}
        assert refused(state, jane, route="phone") == "CH615"  # a phone of which nothing is known
        assert refused(state, jane, from_app=True) == "CH615"
        with pytest.raises(StateError) as unknown:
            eligibility.check_may_link(state, "nobody", "clinic", "direct")
        assert unknown.value.code == "CH602"
    texts = [message_for(code) for code in found]
    assert len(set(texts)) == len(texts)
    assert all(has_message(code) and text.action for code, text in zip(found, texts, strict=True))


def test_a_partner_opens_its_way_once_somebody_wrote_its_class(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.serves("bwell", "verified")
    monkeypatch.setattr(registry, "_CLASSES", {})

    @registry.partner("bwell")
    class Network:
        routes = frozenset({"verified"})

        def __init__(self, settings: object) -> None: ...

    region = region_of("US")
    assert region is not None
    assert region.partner is not None
    assert registry.class_of(region.partner.slug) is Network
    with pytest.raises(LinkError, match="CH624"):
        registry.class_of("nobody")
    with session() as state:
        provider = providers.add_provider(
            state, slug="bwell-net", name="N", fhir_base_url="https://n.example", partner="bwell"
        )
        assert provider.partner == "bwell"
        jane = make(state, android_version=14)
        assert refused(state, jane, "bwell-net", route="verified") is None
        assert refused(state, jane, "bwell-net") == "CH614"  # nobody signs in there but through the partner
        assert [one.name for one in providers.partners_of(state, "US")] == ["b.well"]


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2004, 2, 29), date(2024, 2, 29), 20),
        (date(2008, 7, 1), date(2026, 6, 30), 17),
        (date(2008, 7, 1), date(2026, 7, 1), 18),
    ],
)
def test_ages_count_whole_years(born: date, day: date, age: int) -> None:
    assert eligibility.age_on(born, day) == age
    patient = {"resourceType": "Patient", "birthDate": born.isoformat()}
    assert eligibility.is_minor(patient, "US", today=day) is (age < 18)


def test_the_age_is_that_of_the_country_and_the_day_that_of_its_west(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [eligibility.age_of_majority(country) for country in ("US", "KR", "XX")] == [18, 19, 18]
    assert not eligibility.is_minor({"birthDate": "2008"}, "US")
    assert not eligibility.is_minor({}, "US")
    monkeypatch.setattr("charthouse.linking.regions.now", lambda: datetime(2026, 7, 1, 9, 0, tzinfo=UTC))
    assert not eligibility.is_of_age(date(2008, 7, 1), "US")  # it is 30 June in Honolulu
    assert eligibility.is_of_age(date(2008, 7, 1), "GB")
    assert not eligibility.is_of_age(date(2008, 7, 1), "XX")
    assert age_rule("KR").age == 19


def test_an_account_is_known_once_and_who_it_is_is_sealed(home: Path) -> None:
    with session() as state:
        key = make(state, subject="account-canary-1")
        other = make(state, subject="account-canary-2")
    with session() as state:
        person = people.person_by_subject(state, "account-canary-1")
        assert person is not None
        assert (person.person_key, people.person_by_subject(state, "account-canary-3")) == (key, None)
        opened = identity_of(person)
        assert opened is not None
        assert opened == parse_identity(JANE)
        people.update_person(state, other, identity=parse_identity(BORN_2008), country="CA", preview_member=False)
        changed = people.get_person(state, other)
        assert identity_of(changed) == parse_identity(BORN_2008)
        assert (changed.country, changed.preview_member) == ("CA", False)
        trail = [(event.action, event.detail) for event in audit.trail(state, "person", other)]
        assert trail[-1] == ("person.changed", {"fields": "country,preview_member,identity"})
        # What was sealed for one person does not open in another's row.
        changed.sealed_identity = person.sealed_identity
        with pytest.raises(Exception, match="CH006"):
            identity_of(changed)
        state.rollback()
    with pytest.raises(LinkError, match="CH625"), session() as state:
        make(state, subject="account-canary-1")
    for file in _written(home):
        assert b"anary" not in file.read_bytes()
        assert b"1980-02-29" not in file.read_bytes()


def test_two_requests_at_once_make_one_person(home: Path) -> None:
    def make_one(_: int) -> str:
        try:
            with session() as state:
                return make(state, None, subject="the same account")
        except (LinkError, StateError) as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(make_one, range(4)))
    assert sum(len(answer) > 5 for answer in answers) == 1
    with session(read_only=True) as state:
        assert len(people.list_people(state)) == 1


def test_consents_are_given_in_versions_and_taken_back(home: Path) -> None:
    with session() as state:
        key = make(state)
        consents.give(state, key, "coach", "1")
        consents.give(state, key, "coach", "1")
        consents.give(state, key, "coach", "2")
        assert consents.in_force(state, key, "coach")
        assert consents.withdraw(state, key, "coach")
        assert not consents.withdraw(state, key, "coach")
        assert not consents.in_force(state, key, "coach")
        listed = consents.list_consents(state, key)
        assert [(one.version, one.withdrawn_at is None) for one in listed] == [("1", False), ("2", False)]
        with pytest.raises(StateError, match="CH607"):
            consents.give(state, key, "coach\r\nx")


def test_every_end_of_a_link_has_words_for_the_person() -> None:
    reasons = {step.reason for step in TRANSITIONS if step.after in ("failed", "expired", "disconnected", "deleted")}
    verdicts = {"name_differs", "name_missing", "birth_date_differs", "birth_date_missing", "birth_date_partial"}
    texts = {reason: has_message(reason) for reason in reasons | verdicts | {"deceased", "not_confirmed", "expiring"}}
    assert texts == dict.fromkeys(texts, True)
    codes = [code for code in CATALOGUE if "CH630" <= code <= "CH644" or code in ("CH604", "CH606")]
    assert [code for code in codes if not has_message(code)] == []
    assert message_for("something new") == message_for("unknown")
    assert message_for("CH611", "de-AT") == message_for("too_young", "en_US")
    assert languages() == ("en",)
    for code in codes:
        text = message_for(code)
        assert isinstance(text, Message)
        assert all(part and part == part.strip() for part in (text.title, text.text, text.action))


def test_a_registration_keeps_its_secret_sealed(home: Path) -> None:
    with session() as state:
        registrations.set_registration(
            state, "vendor", "client-1", "client_secret_basic", "canary-secret", "patient/*.rs"
        )
        registrations.set_registration(state, "vendor", "client-2", "client_secret_post")  # the secret stays
        for slug in ("one", "two"):
            providers.add_provider(
                state, slug=slug, name=slug, fhir_base_url=f"https://{slug}.example", registration="vendor"
            )
        client = registrations.client_of(state, "two")
        assert (client.client_id, client.auth, client.secret) == ("client-2", "client_secret_post", "canary-secret")
        assert "canary" not in repr(client)
        assert registrations.scopes_of(state, "two") is None
        public = registrations.client_of(state, "clinic")
        assert (public.client_id, public.auth, public.secret) == (get_settings().client_id, "none", None)
        (view,) = registrations.list_registrations(state)
        assert (view.providers, view.has_secret) == (2, True)
        registrations.set_registration(state, "vendor", "client-2", "private_key_jwt", algorithm="RS384")
    with session(read_only=True) as state:
        client = registrations.client_of(state, "two")
    assert client.secret is None
    assert client.signer is not None
    assert client.signer("https://two.example/token").count(".") == 2
    for file in _written(home):
        assert b"canary-secret" not in file.read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"slug": "Vendor"},
        {"client_id": "two words"},
        {"client_id": ""},
        {"auth": "guess"},
        {"auth": "client_secret_basic"},
        {"secret": "canary"},
        {"auth": "client_secret_basic", "secret": "canary\r\nx"},
        {"scopes": "patient/*.rs patient/Observation.write"},
        {"scopes": "patient/*.cruds"},
        {"scopes": "user/*.*"},
        {"scopes": 'openid "'},
        {"algorithm": "RS384"},
        {"auth": "private_key_jwt", "algorithm": "none"},
    ],
)
def test_a_registration_that_cannot_be_used_is_refused(home: Path, changes: dict[str, Any]) -> None:
    given = {"slug": "vendor", "client_id": "client", "auth": "none"} | changes
    with pytest.raises(LinkError) as error, session() as state:
        registrations.set_registration(state, given.pop("slug"), given.pop("client_id"), given.pop("auth"), **given)
    assert error.value.code == "CH619"
    assert "canary" not in str(error.value)


def test_the_command_line_never_prints_who_somebody_is(home: Path, tmp_path: Path) -> None:
    if "postgresql" in get_settings().state_database:
        pytest.skip("the command line is the same")
    runner = CliRunner()
    file = tmp_path / "jane.json"
    file.write_text(json.dumps(JANE))
    said = []

    def run(*arguments: str, stdin: str | None = None) -> str:
        done = runner.invoke(app, ["people", *arguments], input=stdin)
        said.append(done.output + str(done.exception))
        return done.stdout.strip()

    key = run("add", "--identity", str(file), "--android", "14")
    assert re.fullmatch(r"[0-9a-f-]{36}", key)
    other = json.loads(run("add", "--no-preview", "--json"))["person_key"]
    run("edit", other, "--identity", "-", "--preview", stdin=json.dumps(JANE))
    assert json.loads(run("show", other, "--json"))["identity_known"] is True
    run("show", key)
    run("list")
    run("add", "--identity", "-", stdin='{"names": [{"family": "Canary"}], "birth_date": "1980"}')
    assert "CH618" in said[-1]
    assert not re.search("(?i)canary|1980", "".join(said))
    with sqlite3.connect(home / "state.sqlite") as database:
        assert database.execute("select count(*) from person where sealed_identity is not null").fetchone() == (2,)


@pytest.mark.parametrize(
    "change", [{"identity": parse_identity({**JANE, "birth_date": "2020-02-29"})}, {"country": "KR"}]
)
def test_who_turns_out_to_be_a_minor_is_disconnected_and_what_was_read_goes(home: Path, change: dict[str, Any]) -> None:
    """By what the account tells anew, as by a provider's Patient; links that had ended before hold records, too."""
    young = parse_identity({**JANE, "birth_date": (today_in("KR") - timedelta(days=365 * 18 + 60)).isoformat()})
    with session() as state:
        key = people.create_person(state, identity=young, country="US").person_key
        ids = [links.start_link(state, key, "clinic", "direct", patient_id=f"p{number}").id for number in range(4)]
        for link_id in ids[:3]:
            links.transition(state, link_id, "confirmed", "records_received", "sync")
            links.set_sync_status(state, link_id, "waiting")
        links.transition(state, ids[1], "disconnected", "access_removed", "person")
        links.transition(state, ids[2], "expired", "authorization_ended", "sync")
        people.update_person(state, key, identity=young, country="CA")
        assert links.get_link(state, ids[0]).status == "confirmed", "still of age"
    with session() as state:
        people.update_person(state, key, **change)
    with session(read_only=True) as state:
        assert [links.get_link(state, link_id).status for link_id in ids] == ["disconnected"] * 4
        assert {row.link_id for row in state.scalars(select(Removal))} == set(ids[:3]), "of the last nothing was read"
        assert refused(state, key) in ("CH611", "CH617")
