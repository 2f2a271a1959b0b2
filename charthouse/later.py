"""What is made when it is first used: a module may name a logger or a page without importing what makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Made = TypeVar("Made")


class _Later:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        if "_made" not in self.__dict__:
            self._made = self._make()
        return getattr(self._made, name)


def later(make: Callable[[], Made]) -> Made:
    """Stands for what `make` gives, which is called when an attribute of it is asked for, once."""
    return cast("Made", _Later(make))
