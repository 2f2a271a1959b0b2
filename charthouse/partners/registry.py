"""Partners: who connects us to the providers of a region beside the direct sign-in. A partner is a class.

A class says by which ways it links and is declared with `@partner`. Which partner serves which region is data
(`charthouse/linking/data/regions.json`); a region whose partner has no class is open to the direct sign-in alone.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from charthouse.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from charthouse.partners.network import Network

MODULES = ("charthouse.partners.bwell",)
"""Where the classes are: the next partner is a module here, and a row of the regions."""

Made = TypeVar("Made", bound="type[Network]")

_CLASSES: dict[str, type[Network]] = {}


def partner(slug: str) -> Callable[[Made], Made]:
    """Declare the class that speaks to the partner of this slug."""

    def declare(made: Made) -> Made:
        _CLASSES[slug] = made
        return made

    return declare


def serves(slug: str, route: str) -> bool:
    """Whether there is a class for the partner that links by this way."""
    _load()
    made = _CLASSES.get(slug)
    return made is not None and route in made.routes


def class_of(slug: str) -> type[Network]:
    """The class that speaks to a partner.

    Raises:
        LinkError: CH624 where nobody has written one.
    """
    _load()
    made = _CLASSES.get(slug)
    if made is None:
        raise LinkError("CH624", where=f"partner {slug}")
    return made


@cache
def _load() -> None:
    for module in MODULES:
        import_module(module)
