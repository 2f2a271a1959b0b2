"""What people and the app are told, and what keeps an erasure from its end."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from charthouse.clock import now
from charthouse.errors import PrivacyError
from charthouse.privacy import erase, receipts, requests
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.notices import Delivery
from tests.partners.odd_server import OddServer, Reply
from tests.privacy.scanner import where
from tests.privacy.test_canary import erased, signs_of

if TYPE_CHECKING:
    from tests.privacy.conftest import Home


def test_the_app_and_the_person_are_told_when_it_is_proven(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = [503, 200]
    with OddServer(lambda _: Reply(statuses.pop(0))) as app:
        monkeypatch.setenv("CHARTHOUSE_WEBHOOK_URL", f"{app.url}/told")
        get_settings.cache_clear()
        with session() as state:
            request = requests.ask_erasure(state, home.people["B"]).request_id
        [ended] = erase.run([request])
        assert (ended.code, ended.where.partition(" ")[0]) == ("CH912", "mails"), "the app did not listen"
        assert where(home.path, signs_of(home, "B")) == set(), "gone and proven all the same"
        [ended] = erase.run([request])
        assert ended.done
    first, second = (json.loads(asked.body) for asked in app.asked)
    assert first["type"] == second["type"] == "notice.erased"
    assert second["data"]["person_key"] == home.people["B"]
    assert app.asked[0].headers["webhook-id"] == app.asked[1].headers["webhook-id"]
    mails = [file.read_text() for file in (home.path / "mail").glob("*.eml") if "was deleted" in file.read_text()]
    assert len(mails) == 1
    assert "B" not in mails[0].partition("To:")[2].partition("\n")[0], "to whom is masked"


def test_a_locked_database_is_named_and_mended_by_the_next_try(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charthouse.privacy.vocabulary.BUSY_SECONDS", 1)
    with session() as state:
        request = requests.ask_erasure(state, home.people["B"]).request_id
    with closing(sqlite3.connect(home.path / "airflow" / "airflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        [ended] = erase.run([request])
    assert (ended.code, ended.where, ended.receipt) == ("CH911", "airflow · OperationalError", None)
    with session() as state:
        standing = requests.find(state, request)
        assert (standing.status, standing.code, standing.person_key) == ("running", "CH911", None)
        with pytest.raises(PrivacyError, match="CH901"):
            requests.cancel(state, request)
    assert erase.run([request])[0].done
    assert where(home.path, signs_of(home, "B")) == set()


def test_a_notice_on_its_way_is_waited_for(home: Home) -> None:
    with session() as state:
        request = requests.ask_erasure(state, home.people["B"]).request_id
        state.execute(update(Delivery).values(status="sending", lease_until=now() + timedelta(minutes=5)))
    assert erase.run([request])[0].code == "CH912"
    with session() as state:
        state.execute(update(Delivery).values(status="sent", lease_until=None))
    assert erase.run([request])[0].done


def test_a_code_is_the_same_whenever_it_is_asked_for(home: Home) -> None:
    assert receipts.code_of("a request") == receipts.code_of("a request") != receipts.code_of("another")
    assert erased(home.people["B"]).done
    stones = (home.path / "keys" / "tombstones.jsonl").read_text()
    assert home.people["B"] not in stones
    assert len(stones.splitlines()) == 1 + 1 + 2 + 2, "a key, a person, two links, two patients"
