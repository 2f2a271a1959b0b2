"""Signing keys: made once, sealed, published before they sign and after they have."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from charthouse.errors import LinkError
from charthouse.linking import keys, signing_keys
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.linking import SigningKey


@pytest.fixture
def ahead(home, monkeypatch, tmp_path):
    """Move the clock."""
    file = tmp_path / "clock"
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(file))
    get_settings.cache_clear()
    return lambda hours: file.write_text(str(hours * 3600))


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_an_assertion_is_verified_by_the_published_set(home, algorithm):
    with session(read_only=True) as state:
        sign = signing_keys.assertion_signer(state, "our client", algorithm=algorithm)
    published = signing_keys.public_jwks("client_assertion")
    assert {key["alg"] for key in published["keys"]} == {"ES384", "RS384"}
    assert not any("d" in key for key in published["keys"])
    said = jwt.decode(sign("https://as.example/token"), KeySet.import_key_set(published), algorithms=["ES384", "RS384"])
    assert said.header["alg"] == algorithm
    assert said.claims["iss"] == said.claims["sub"] == "our client"
    assert said.claims["aud"] == "https://as.example/token"
    with pytest.raises(LinkError, match="CH645"):
        signing_keys.current("service_token", algorithm="none")


def test_a_new_pair_is_published_before_it_signs_and_the_old_one_after(home, ahead):
    old, _ = signing_keys.current("client_assertion")
    new = signing_keys.rotate("client_assertion")

    def published() -> set[str]:
        return {str(key["kid"]) for key in signing_keys.list_keys("client_assertion")}

    assert published() >= {old, new}
    assert signing_keys.current("client_assertion")[0] == old
    ahead(25)
    assert signing_keys.current("client_assertion")[0] == new
    assert old in published()
    ahead(49)
    assert old not in published()
    assert signing_keys.current("service_token")[0] != signing_keys.rotate("service_token")


def test_private_keys_are_sealed_and_survive_a_change_of_keys(home):
    kid, pair = signing_keys.current("service_token")
    with session(read_only=True) as state:
        assert pair.as_dict(private=True)["d"].encode() not in state.get(SigningKey, kid).sealed_private
    keys.rotate()
    keys.retire()
    assert signing_keys.current("service_token")[1].as_dict(private=True)["d"] == pair.as_dict(private=True)["d"]
