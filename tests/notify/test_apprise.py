"""Services that people name by an Apprise URL: a real plugin and receiver, and no way into the operator's network."""

from __future__ import annotations

import pytest

from charthouse.errors import NoticeError
from charthouse.notify import contacts
from charthouse.state import session


def test_a_contacts_service_is_told_without_a_provider(receiver, configure, person, tell, link, drained, states):
    receiver.secret = ""
    address = receiver.url.replace("http://", "json://")
    configure(webhook_url="", apprise_services="json")
    with session() as state:
        assert contacts.set_contact(state, person, "apprise", address).masked == "json://***"
    receiver.take = lambda body, _: receiver.calls.append(body) or 200  # type: ignore[method-assign]
    tell("expired", link_id=link)
    assert drained().counts == {("apprise", "sent"): 1}
    [body] = receiver.calls
    assert b"Please sign in again" in body
    assert b"linic" not in body
    receiver.take = lambda *_: 500  # type: ignore[method-assign]
    tell("confirmed", link_id=link)
    drained()
    assert states()[1] == ("confirmed", "apprise", "waiting", "CH719")
    configure(apprise_services="tgram")
    tell("erased")
    drained()
    assert states()[2] == ("erased", "apprise", "undeliverable", "CH720")


@pytest.mark.parametrize(
    "address",
    ["json://10.0.0.1/", "mailto://a:b@c.example", "file:///etc/passwd", "tgram://", "tgram", "", "tgram://a\r\nb/c"],
)
def test_only_services_that_are_permitted_may_be_named(home, person, address):
    with session() as state, pytest.raises(NoticeError, match="CH702") as refused:
        contacts.set_contact(state, person, "apprise", address)
    assert "://" not in str(refused.value)
