"""Every table of the state database, for whoever needs them all: migrations, diagrams, tests."""

from charthouse.state import (
    bulk,
    documents,
    feed,
    hosts,
    identity,
    ledger,
    linking,
    models,
    network,
    notices,
    phones,
    privacy,
    requests,
    servers,
)
from charthouse.state.base import Base

__all__ = [
    "Base",
    "bulk",
    "documents",
    "feed",
    "hosts",
    "identity",
    "ledger",
    "linking",
    "models",
    "network",
    "notices",
    "phones",
    "privacy",
    "requests",
    "servers",
]
