"""Mails, as a real server gets them: headers, both forms, what may not be in them, and servers that are not well."""

from __future__ import annotations

import re
import socket
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from charthouse.errors import NoticeError
from charthouse.linking import providers
from charthouse.notify import contacts, outbox, preferences, unsubscribing
from charthouse.notify.catalogue import languages
from charthouse.notify.kinds import RULES
from charthouse.state import session
from charthouse.state.notices import NOTICE_KINDS, Contact
from tests.notify.receivers import MailServer, mail_controller

if TYPE_CHECKING:
    from pathlib import Path


def test_a_mail_has_both_forms_and_the_headers_that_machines_read(mails, write, tell, link, drained, person):
    write()
    tell("expired", link_id=link)
    assert drained().counts == {("email", "sent"): 1}
    [mail] = mails.mails
    assert mails.recipients == ["ada@people.example"]
    assert mail["From"] == "Health Records <records@charthouse.example>"
    assert mail["To"] == "ada@people.example"
    assert mail["Subject"] == "Please sign in again to get new records"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.tzinfo is not None
    with session(read_only=True) as state:
        [way] = outbox.list_notices(state, person)[0].deliveries
    assert mail["Message-ID"] == f"<{way.delivery_id}@charthouse.example>"
    assert "Your connection to Clinic has ended." in mails.text()
    assert "Your connection to Clinic has ended." in mails.html()
    assert mail.get_content_type() == "multipart/alternative"
    assert max(map(len, mails.raw[0].splitlines())) < 998


def test_one_click_leaves(mails, write, tell, drained, states):
    write()
    tell("confirmed")
    drained()
    # Raw: a header that was folded or encoded could not be clicked.
    [header] = re.findall(rb"^List-Unsubscribe: <https://records\.example/[^\s<>]+>\r?$", mails.raw[0], re.MULTILINE)
    assert b"\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in mails.raw[0]
    url = header.decode().strip().split("<")[1].rstrip(">")
    assert url in mails.text()
    assert url in mails.html()
    token = url.removeprefix("https://records.example" + unsubscribing.PATH)
    with session(read_only=True) as state:
        assert unsubscribing.read_token(state, token) == unsubscribing.Leaving("email", "confirmed")
    with session() as state:
        unsubscribing.apply_unsubscribe(state, token)
    tell("confirmed")
    tell("expired")
    assert drained().counts == {("email", "sent"): 1}
    assert [mail["Subject"] for mail in mails.mails[1:]] == ["Please sign in again to get new records"]
    assert ("confirmed", "email", "suppressed", None) in states()


def test_without_a_public_address_there_is_no_link_and_without_https_no_click(mails, write, tell, drained, configure):
    write()
    configure(public_url="http://127.0.0.1:8080")
    tell("confirmed")
    drained()
    assert mails.mails[0]["List-Unsubscribe"].startswith("<http://127.0.0.1:8080/charthouse/v1/unsubscribe/")
    assert mails.mails[0]["List-Unsubscribe-Post"] is None
    configure(public_url="")
    tell("confirmed")
    drained()
    assert mails.mails[1]["List-Unsubscribe"] is None
    assert "Stop" not in mails.text(1)


@pytest.mark.parametrize(
    "address",
    [
        "ada@people.example\r\nBcc: eve@evil.example",
        "ada@people.example\nSubject: x",
        "ada@people.example, eve@evil.example",
        "Ada <ada@people.example>",
        "<ada@people.example>",
        "ada",
        "@people.example",
        "ada@",
        "ada@people..example",
        "a" * 3000 + "@people.example",
        "",
    ],
)
def test_an_address_is_one_address_and_is_never_quoted(home, person, address):
    with session() as state, pytest.raises(NoticeError, match="CH702") as refused:
        contacts.set_contact(state, person, "email", address)
    assert "ada" not in str(refused.value)
    assert "evil" not in str(refused.value)


def test_a_name_cannot_write_headers_or_markup(mails, write, tell, link, drained):
    name = "Clinic\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script>\u202egnp{{ 7919*7919 }}"
    with session() as state:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="https://clinic.example/fhir")
        state.execute(text("UPDATE provider SET name = :name"), {"name": name})
    write()
    for kind in NOTICE_KINDS:
        tell(kind, link_id=link)
    drained()
    assert len(mails.mails) == len(NOTICE_KINDS)
    assert set(mails.recipients) == {"ada@people.example"}
    for number, mail in enumerate(mails.mails):
        assert mail["Bcc"] is None
        assert not {"evil", "Clinic"} & set(re.findall(r"\w+", mail["Subject"]))
        assert "<script" not in mails.html(number)
        assert "\u202e" not in mails.text(number) + mails.html(number)
        assert "62710561" not in mails.text(number)
    assert any("&lt;script&gt;" in mails.html(number) for number in range(len(mails.mails)))


def test_names_and_domains_of_all_the_world(mails, write, tell, drained, configure, states):
    configure(mail_from="Gesundheit für Köln <info@köln.example>", service_name="Gesündheit")
    write("ada@bücher.example")
    tell("confirmed")
    drained()
    assert mails.recipients == ["ada@xn--bcher-kva.example"]
    assert mails.mails[0]["From"].addresses[0].display_name == "Gesundheit für Köln"
    assert b"=?utf-8?" in mails.raw[0]
    assert mails.mails[0]["From"].addresses[0].domain == "xn--kln-sna.example"
    write("ada@straße.example")  # IDNA 2008: not strasse
    write("аda@people.example")
    tell("expired")
    drained()
    assert mails.recipients[1:] in ([], ["аda@people.example"])
    assert states()[1][2:] in (("undeliverable", "CH716"), ("sent", None))


def test_what_a_server_says_of_an_address_stays_with_it(mails, write, tell, drained, states, caplog, person):
    mails.refuse["ada@people.example"] = "550 5.1.1 <ada@people.example>: no such user"
    write()
    tell("confirmed")
    tell("expired")
    drained()
    assert states() == [
        ("confirmed", "email", "undeliverable", "CH716"),
        ("expired", "email", "undeliverable", "CH716"),
    ]
    mails.refuse["ada@people.example"] = "450 4.2.0 <ada@people.example>: greylisted"
    with session() as state:
        for notice in outbox.list_notices(state, person):
            assert outbox.retry(state, notice.notice_id) == 1
    drained()
    assert states() == [("confirmed", "email", "waiting", "CH717"), ("expired", "email", "waiting", "CH717")]
    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]  # that is the server's own
    assert not [line for line in ours if "ada@" in line]
    mails.refuse.clear()
    with session() as state:
        outbox.retry(state, outbox.list_notices(state, person)[0].deliveries[0].delivery_id)
    assert drained().counts == {("email", "sent"): 1}


def test_connections_are_kept_and_one_that_ends_is_opened_again(mails, write, tell, drained, configure):
    configure(notice_threads=1)
    write()
    for _ in range(12):
        tell("confirmed")
    drained()
    assert (len(mails.mails), mails.connections) == (12, 1)
    mails.drop_after = 5
    for _ in range(12):
        tell("confirmed")
    drained()
    assert len(mails.mails) == 24
    assert len({mail["Message-ID"] for mail in mails.mails}) == 24


def test_a_mail_whose_fate_is_unknown_is_sent_again_as_the_same(mails, write, tell, drained, states, clock):
    mails.drop_in_data = True
    write()
    tell("confirmed")
    drained()
    assert states() == [("confirmed", "email", "waiting", "CH715")]
    mails.drop_in_data = False
    clock(60)
    assert drained().counts == {("email", "sent"): 1}
    assert len({mail["Message-ID"] for mail in mails.mails}) == 1
    assert len(mails.mails) == 2


def test_a_server_that_is_away_or_wants_what_we_do_not_have(write, tell, drained, states, configure):
    write()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        configure(smtp_url=f"smtp://127.0.0.1:{port}", mail_from="records@charthouse.example")
        tell("confirmed")
        drained()
    assert states() == [("confirmed", "email", "waiting", "CH715")]
    controller = mail_controller(MailServer())
    try:
        # No STARTTLS there, and it was asked for: nothing goes out in the clear.
        configure(smtp_url=f"smtp+starttls://127.0.0.1:{controller.port}")
        tell("expired")
        drained()
        assert states()[1] == ("expired", "email", "waiting", "CH718")
        configure(smtp_url=f"smtp://me:secret@127.0.0.1:{controller.port}")
        tell("erased")
        drained()
        assert states()[2] == ("erased", "email", "waiting", "CH718")
    finally:
        controller.stop()


def test_what_is_not_set_up_is_shown_to_the_operator(write, tell, drained, states, configure):
    write()
    tell("confirmed")
    drained()
    assert states() == [("confirmed", "email", "undeliverable", "CH720")]
    configure(smtp_url="smtp://127.0.0.1", mail_from="nobody")
    tell("expired")
    drained()
    assert states()[1] == ("expired", "email", "undeliverable", "CH720")


def test_a_folder_takes_mails_for_its_owner_alone(write, tell, drained, configure, tmp_path: Path):
    folder = tmp_path / "mails sent"
    configure(smtp_url=f"folder://{folder}".replace(" ", "%20"), mail_from="records@charthouse.example")
    write()
    tell("confirmed")
    tell("expired")
    assert drained().counts == {("email", "sent"): 2}
    files = sorted(folder.iterdir())
    assert [file.suffix for file in files] == [".eml", ".eml"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    subjects = {message_from_bytes(file.read_bytes(), policy=default)["Subject"] for file in files}
    assert subjects == {"Your records are connected", "Please sign in again to get new records"}


def test_addresses_are_sealed_and_shown_masked(home, person, write):
    write()
    with session() as state:
        assert [(view.channel, view.masked) for view in contacts.contacts_of(state, person)] == [
            ("email", "a***@p***.example")
        ]
        assert b"ada" not in (state.get(Contact, (person, "email")).sealed_address or b"")
        contacts.set_contact(state, person, "email", None)
        assert contacts.contacts_of(state, person) == []


def test_every_kind_and_reason_has_texts_that_name_no_provider_where_it_shows():
    from charthouse.notify.catalogue import catalogue
    from charthouse.notify.preferences import Preferences
    from charthouse.notify.render import Facts, letter
    from charthouse.settings import Settings
    from charthouse.state.base import now

    assert set(RULES) == set(NOTICE_KINDS)
    for language in languages():
        for kind in NOTICE_KINDS:
            assert kind in catalogue(language)
            for reason in ("", *catalogue(language)[kind].get("reasons", {})):
                facts = Facts(kind, reason, "Canary Clinic", {"ends_at": "2026-12-01T15:00:00+00:00"}, now())
                wish = Preferences(language=language, time_zone="America/New_York")
                named = letter(facts, wish, Settings(), named=True)
                unnamed = letter(facts, wish, Settings(), named=False)
                assert all((named.title, named.push, named.paragraphs))
                assert "Canary" not in named.title
                assert "Canary" not in str(unnamed)
                assert len(named.title) <= 60
                assert not re.search(r"[<>{}]|  ", " ".join((named.title, named.push, *named.paragraphs, named.action)))
                if kind == "expiring":
                    assert "Tuesday, December 1 at 10:00 AM EST" in named.paragraphs[0]


def test_another_language_is_a_folder_and_english_fills_its_gaps(tmp_path, monkeypatch):
    import shutil

    from charthouse.notify import catalogue

    shutil.copytree(catalogue.TEMPLATES, tmp_path / "templates")
    (tmp_path / "templates" / "de").mkdir()
    (tmp_path / "templates" / "de" / "notices.toml").write_text('[confirmed]\ntitle = "Ihre Daten sind verbunden"\n')
    monkeypatch.setattr(catalogue, "TEMPLATES", tmp_path / "templates")
    for known in (catalogue.catalogue, catalogue._read):
        known.cache_clear()
    assert catalogue.source("de-AT", "confirmed", "", "title") == "Ihre Daten sind verbunden"
    assert catalogue.source("de", "expired", "", "title") == "Please sign in again to get new records"
    assert catalogue.source("xx", "confirmed", "", "title") == "Your records are connected"
    for known in (catalogue.catalogue, catalogue._read):
        known.cache_clear()


def test_preferences_that_make_no_sense_are_refused(home, person):
    with session() as state:
        for wrong in (
            {"time_zone": "Mars/Olympus"},
            {"time_zone": "../../etc/passwd"},
            {"quiet_from": "22:00"},
            {"digest": "hourly"},
            {"language": "en\r\n"},
            {"language": "x" * 40},
            {"unsubscribed": {("email", "weather")}},
            {"provider_in_push": "yes"},
            {"colour": "red"},
        ):
            with pytest.raises(NoticeError, match="CH703"):
                preferences.set_preferences(state, person, **wrong)
        assert preferences.get_preferences(state, person) == preferences.Preferences()
