"""Settings that do not let a test wait."""

from __future__ import annotations

import pytest

from charthouse.settings import Settings


@pytest.fixture
def quick() -> Settings:
    """Short waits, many requests a second."""
    return Settings(request_timeout=2.0, retry_wait_max=0.05, request_tries=3, requests_per_second=5000)
