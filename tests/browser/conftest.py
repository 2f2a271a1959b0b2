"""A browser for all tests, a partner network and a verifier of identities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.identity.conftest import town as verifier
from tests.network.conftest import partner, partner_process, stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

__all__ = ["partner", "partner_process", "stores", "verifier"]

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        opened = tool.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield opened
        opened.close()
