"""The commands of `charthouse` that stand in modules of their own: each is read when it is called, or help lists it.

Reading all of them for each command took as long as a small question to the records does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from typer._click import Command, Context

ROOMS = {
    "link": "link:link",
    "erase": "erasing:erase",
    "delete-link": "erasing:delete_link",
    "disconnect": "erasing:disconnect",
    "dictionary": "dictionary:dictionary",
    "plan": "plan:plan",
    "explain": "explain:explain",
    "export": "export:export",
    "export-tables": "copying:export_tables",
    "verify": "export:verify",
    "backup": "keeping:backup",
    "restore": "keeping:restore",
    "retention": "keeping:retention",
    "serve": "serve:serve",
    "mcp": "mcp:mcp",
    "feed": "feed:app",
    "audit": "audit:app",
    "people": "people:app",
    "phones": "phones:app",
    "consents": "consents:app",
    "coach": "coach:app",
    "links": "links:app",
    "keys": "keys:app",
    "network": "network:app",
    "notices": "notices:app",
    "providers": "providers:app",
    "sandbox": "sandbox:app",
    "syncs": "syncs:app",
    "views": "views:app",
    "tokens": "tokens:app",
    "requests": "erasing:requests_app",
}
"""A command → the module beside this one and what in it is the command: a function, or a group of commands."""


class Rooms(TyperGroup):
    """The group of all commands: those that are declared with it, then those of `ROOMS`."""

    def list_commands(self, ctx: Context) -> list[str]:
        """All names, for help."""
        return [*super().list_commands(ctx), *(name for name in ROOMS if name not in self.commands)]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command of a name, read now if it has not been."""
        if cmd_name in ROOMS and cmd_name not in self.commands:
            self.commands[cmd_name] = _read(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """The command that is called. A name that there is not is compared with all."""
        if args[0] not in (*self.commands, *ROOMS):
            for name in ROOMS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


def _read(name: str) -> Command:
    module, _, attribute = ROOMS[name].partition(":")
    found: Any = getattr(import_module(f"charthouse.operating.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        command: Command = get_group(found)
    else:
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        command = get_command(alone)
    command.name = name
    return command
