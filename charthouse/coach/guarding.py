"""Where a question is looked at before it is answered: what is no matter of wellness gets the standing answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.coach.guard import stopped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transforms.coach.standing import Verdict


def verdict_on(texts: Iterable[str | None]) -> Verdict | None:
    """The standing answer to what people wrote, or None where it may be answered with facts."""
    return stopped(*(text for text in texts if text))
