"""A person with records at one provider, nights that bring more, and the API in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.conftest import serving
from tests.sync.conftest import house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Api
    from tests.sync.conftest import House

__all__ = ["house"]


@pytest.fixture
def api(house: House) -> Iterator[Api]:
    """The API of the home."""
    with serving(api_limit="100000/minute") as served:
        yield served
