"""Tokens: sealed at rest, renewed by one process at a time, never lost to a crash, never brought back once removed."""

from __future__ import annotations

import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from charthouse.errors import CharthouseError, FetchError, SetupError
from charthouse.linking import credentials, keys, links
from charthouse.linking.credentials import Tokens
from charthouse.settings import get_settings
from charthouse.state import audit, session
from charthouse.state.engine import engine, sqlite_file
from charthouse.state.models import Credential
from charthouse.state.seals import Sealer

FIRST = "refresh-canary-0"


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.fixture
def provider(workers, tmp_path):
    """A token endpoint that rotates."""
    return workers.Rotating(tmp_path / "provider.json")


@pytest.fixture
def store(workers, link):
    """Store tokens for the link."""

    def put(refresh_token: str | None = FIRST, seconds: float | None = 30, scope: str | None = None) -> None:
        expires = None if seconds is None else in_seconds(seconds)
        with session() as state:
            tokens = workers.Issued("access-canary-0", refresh_token, expires, scope, "patient-canary")
            credentials.store_tokens(state, link, tokens)
            if seconds is not None:  # issued an hour before its end
                stored = state.get(Credential, link)
                stored.access_seen_at = stored.access_expires_at - timedelta(hours=1)

    return put


def never(_: str) -> credentials.IssuedTokens:
    raise AssertionError("nobody was to be asked")


def test_tokens_are_nowhere_in_the_clear(store, workers, link, home):
    store()
    issued = workers.Issued("access-canary-1", "refresh-canary-1", in_seconds(3600), "patient/Observation.rs")
    assert Tokens().access_token(link, lambda _: issued) == "access-canary-1"
    with session(read_only=True) as state:
        stored = state.get(Credential, link)
        assert b"canary" not in stored.sealed_access + stored.sealed_refresh
        assert credentials.refresh_token(state, link) == "refresh-canary-1"
        assert links.get_link(state, link).granted_scopes == "patient/Observation.rs"
    assert "canary" not in repr(Tokens()._held(link))
    if sqlite_file(get_settings()):
        engine().dispose()
        kept = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
        assert b"patient-canary" in kept, "the search finds what is there"
        assert b"access-canary" not in kept
        assert b"refresh-canary" not in kept


def test_a_token_is_renewed_when_it_is_at_its_end_or_refused_and_not_before(store, link, provider):
    store(seconds=3600)
    assert Tokens().access_token(link, never) == "access-canary-0"
    assert Tokens().access_token(link, provider.renew, force=True) == "access-canary-1"
    store(refresh_token=provider.refresh_token(), seconds=61)
    assert Tokens().access_token(link, never) == "access-canary-0"
    store(refresh_token=provider.refresh_token(), seconds=59)
    assert Tokens().access_token(link, provider.renew) == "access-canary-2"
    assert Tokens().access_token(link, never) == "access-canary-2"
    store(seconds=None)
    assert Tokens().access_token(link, never) == "access-canary-0"


def test_a_short_life_is_used_to_its_half(workers, link):
    with session() as state:
        credentials.store_tokens(state, link, workers.Issued("short", "r", in_seconds(20)))
    assert Tokens().access_token(link, never) == "short"


def test_without_a_refresh_token_the_access_token_serves_to_its_end(store, link):
    store(refresh_token=None, seconds=30)
    assert Tokens().access_token(link, never) == "access-canary-0"
    for seconds, force in ((-1, False), (30, True)):
        store(refresh_token=None, seconds=seconds)
        with pytest.raises(FetchError, match="CH113"):
            Tokens().access_token(link, never, force=force)


def test_a_provider_that_returns_no_refresh_token_keeps_the_old_one(store, workers, link):
    store()
    with session(read_only=True) as state:
        seen = state.get(Credential, link).refresh_seen_at
    Tokens().access_token(link, lambda _: workers.Issued("next", None, in_seconds(3600)))
    with session(read_only=True) as state:
        assert credentials.refresh_token(state, link) == "refresh-canary-0"
        assert state.get(Credential, link).refresh_seen_at == seen


def test_threads_and_processes_renew_once_between_them(store, link, provider, at_once):
    store()
    with ThreadPoolExecutor(6) as threads:
        tokens = Tokens()
        got = set(threads.map(lambda _: tokens.access_token(link, provider.renew), range(6)))
    assert (got, provider.asked()) == ({"access-canary-1"}, 1)
    store(refresh_token=provider.refresh_token())
    said = at_once(*[("renew", link, str(provider.file))] * 3)
    assert said == [{"did": "access-canary-2"}] * 3
    assert provider.asked() == 2


@pytest.mark.crash
@pytest.mark.parametrize("point", ["credentials.marked", "credentials.renewed", "credentials.kept"])
def test_a_renewal_that_is_killed_is_seen_and_finished_by_the_next(store, link, provider, at_once, point):
    store()
    deed = ("renew", link, str(provider.file))
    assert at_once(deed, crash_at=point) == [{"killed": signal.SIGKILL}]
    kept = point == "credentials.kept"
    with session(read_only=True) as state:
        assert credentials.in_doubt(state) == ([] if kept else [link])
    assert Tokens().access_token(link, never if kept else provider.renew) == "access-canary-1"
    assert provider.asked() == (2 if point == "credentials.renewed" else 1)
    with session(read_only=True) as state:
        assert credentials.in_doubt(state) == []
        assert credentials.refresh_token(state, link) == provider.refresh_token()


@pytest.mark.crash
def test_a_provider_without_grace_says_that_a_lost_rotation_is_lost(store, link, provider, at_once):
    store()
    deed = ("renew", link, str(provider.file), "no grace")
    assert at_once(deed, crash_at="credentials.renewed") == [{"killed": signal.SIGKILL}]
    (said,) = at_once(deed)
    assert said["refused"] == "CH113"
    assert "cut off before" in said["what"]
    assert "canary" not in said["what"]


def test_silence_is_tried_once_more_and_never_taken_for_a_refusal(store, link, provider):
    store()
    asked = []

    def silent(refresh_token: str) -> credentials.IssuedTokens:
        asked.append(refresh_token)
        raise FetchError("CH101")

    for times in (2, 3):
        with pytest.raises(FetchError, match="CH101"):
            Tokens().access_token(link, silent)
        assert len(asked) == times
    assert Tokens().access_token(link, provider.renew) == "access-canary-1"

    store(refresh_token="unknown")
    with pytest.raises(FetchError, match="CH113"):
        Tokens().access_token(link, provider.renew)
    with session(read_only=True) as state:
        assert credentials.in_doubt(state) == []


def test_a_refusal_of_us_spends_nothing(store, link, provider):
    store()

    def refused(_: str) -> credentials.IssuedTokens:
        raise FetchError("CH123")

    with pytest.raises(FetchError, match="CH123"):
        Tokens().access_token(link, refused)
    with session(read_only=True) as state:
        assert credentials.in_doubt(state) == []
    assert Tokens().access_token(link, provider.renew) == "access-canary-1"


def test_access_that_is_removed_during_a_renewal_stays_removed(store, workers, link):
    store()

    def renew(_: str) -> credentials.IssuedTokens:
        with session() as state:
            assert credentials.revoke_local(state, link)
        return workers.Issued("late", "late", in_seconds(3600))

    with pytest.raises(FetchError, match="CH113"):
        Tokens().access_token(link, renew)
    with session() as state:
        assert not credentials.revoke_local(state, link)
        assert [event.action for event in audit.trail(state, "link", link)] == ["credential.revoked"]


def test_a_sign_in_during_a_renewal_wins(store, workers, link):
    store()

    def renew(_: str) -> credentials.IssuedTokens:
        store(refresh_token="fresh", seconds=3600)
        return workers.Issued("late", "late", in_seconds(3600))

    assert Tokens().access_token(link, renew) == "access-canary-0"
    with session(read_only=True) as state:
        assert credentials.refresh_token(state, link) == "fresh"


def test_tokens_are_for_the_links_own_patient_and_for_links_that_stand(workers, link):
    with session() as state, pytest.raises(CharthouseError, match="CH606") as refused:
        credentials.store_tokens(state, link, workers.Issued("a", "r", None, patient="other-canary"))
    assert "canary" not in str(refused.value)
    with session() as state:
        links.transition(state, link, "disconnected", "access_removed", "person")
        with pytest.raises(CharthouseError, match="CH601"):
            credentials.store_tokens(state, link, workers.Issued("a", "r", None))


def test_the_key_is_private_made_once_and_missed_when_it_is_needed(store, link, home):
    file = get_settings().credentials_key
    key = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys.ensure_key()
    assert file.read_bytes() == key
    store()
    keys.check_key()

    for broken in (b"", b"no key\n", b"\xff\xfe", Fernet.generate_key()):
        file.write_bytes(broken)
        with pytest.raises(SetupError, match="CH006"):
            keys.check_key()
    file.write_bytes(key)
    file.chmod(0o644)
    with pytest.raises(SetupError, match="chmod 600"):
        keys.check_key()
    file.unlink()
    for deed in (keys.ensure_key, keys.check_key, Tokens):
        with pytest.raises(SetupError, match="CH006") as missing:
            deed()
        assert key.decode().strip() not in str(missing.value)
    assert not file.exists(), "a new key would hide that the old one is lost"


def test_the_key_can_be_changed_and_a_seal_opens_in_its_own_row_only(store, link):
    store(seconds=3600)
    file = get_settings().credentials_key
    old, new = file.read_text(), Fernet.generate_key().decode()
    file.write_text(f"{new}\n{old}")
    assert Tokens().access_token(link, never) == "access-canary-0"
    assert keys.rotate() == 2
    file.write_text(new)
    assert Tokens().access_token(link, never) == "access-canary-0"

    with session() as state:
        stored = state.get(Credential, link)
        stored.sealed_access, stored.sealed_refresh = stored.sealed_refresh, stored.sealed_access
    with pytest.raises(SetupError, match="not its own"):
        Tokens().access_token(link, never)
    assert "canary" not in repr(Sealer(file))


def test_what_was_read_before_a_grant_changed_is_read_anew(store, link):
    """Records of a type that is granted only now may be older than the watermark of the query that found none."""

    def watermarks() -> dict[str, str]:
        with session(read_only=True) as state:
            [work] = links.work_of(state, [link])
            return dict(work.watermarks)

    store(scope="patient/Observation.rs")
    with session() as state:
        links.set_watermarks(state, link, {"Observation": "2024-01-01T00:00:00Z"})
    store(scope="patient/Observation.rs")
    assert watermarks() == {"Observation": "2024-01-01T00:00:00Z"}
    store(scope="patient/Observation.rs patient/Condition.rs")
    assert watermarks() == {}
