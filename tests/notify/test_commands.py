"""What an operator does about notices, from the command line."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from charthouse.operating.cli import app


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_an_operator_sees_what_was_given_up_and_sends_it_again(mails, write, tell, drained, configure):
    mails.refuse["ada@people.example"] = "550 5.1.1 <ada@people.example> no such user"
    write()
    tell("expired")
    assert "undeliverable" in said("notices", "send")
    [row] = json.loads(said("notices", "list", "--status", "undeliverable", "--json"))
    assert (row["kind"], row["channel"], row["code"]) == ("expired", "email", "CH716")
    shown = said("notices", "show", row["notice"])
    assert "refused the address" in shown
    assert "ada@" not in shown
    mails.refuse.clear()
    assert "to be sent again: 1" in said("notices", "retry", row["notice"])
    assert "sent" in said("notices", "send")
    assert json.loads(said("notices", "list", "--status", "undeliverable", "--json")) == []
    assert "Nothing was due" in said("notices", "send")


def test_a_secret_is_shown_and_rotated_and_settings_hide_logins(home, configure):
    first = said("notices", "secret", "show").split()[0]
    second = said("notices", "secret", "rotate", "--hours", "0").strip()
    assert first != second
    assert said("notices", "secret", "show").split()[0] == second
    assert first not in said("notices", "secret", "show")
    configure(smtp_url="smtp://me:hunter2@mail.example")
    assert "hunter2" not in said("settings") + said("settings", "--json")
