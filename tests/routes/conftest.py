"""A partner's sandbox, a clinic at which people sign in, and the REST API that a phone uploads to."""

from tests.network.conftest import audited_here, partner, partner_process, stores

__all__ = ["audited_here", "partner", "partner_process", "stores"]
