"""Every column that holds something sealed, declared once: what a change of keys has to seal anew.

A test compares this with the models: a `LargeBinary` column that is neither here nor public fails the build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import inspect

from charthouse.state.bulk import BulkJob
from charthouse.state.feed import CoachFeedEntry
from charthouse.state.identity import IdentitySession, IdentityVerifier
from charthouse.state.linking import ClientRegistration, SignIn, SigningKey
from charthouse.state.models import Credential, Person
from charthouse.state.network import NetworkAccount
from charthouse.state.notices import Contact, WebhookSecret
from charthouse.state.phones import PhoneUpload
from charthouse.state.privacy import ExportPart, PrivacyRequest
from charthouse.state.requests import IdempotentRequest

if TYPE_CHECKING:
    from charthouse.state.base import Base


class SealedColumn(NamedTuple):
    """One column of one table."""

    model: type[Base]
    column: str

    @property
    def name(self) -> str:
        """`table.column`, as it is shown."""
        return f"{self.model.__tablename__}.{self.column}"

    @property
    def attribute(self) -> Any:
        """The column in a query."""
        return getattr(self.model, self.column)

    @property
    def key(self) -> tuple[Any, ...]:
        """The columns that name a row."""
        return tuple(inspect(self.model).primary_key)


SEALED: Final = (
    SealedColumn(Credential, "sealed_access"),
    SealedColumn(Credential, "sealed_refresh"),
    SealedColumn(Person, "sealed_identity"),
    SealedColumn(ClientRegistration, "sealed_secret"),
    SealedColumn(SignIn, "sealed_secrets"),
    SealedColumn(SigningKey, "sealed_private"),
    SealedColumn(Contact, "sealed_address"),
    SealedColumn(WebhookSecret, "sealed"),
    SealedColumn(IdempotentRequest, "sealed_answer"),
    SealedColumn(PrivacyRequest, "sealed_notes"),
    SealedColumn(ExportPart, "sealed_key"),
    SealedColumn(BulkJob, "sealed_status_url"),
    SealedColumn(NetworkAccount, "sealed_secret"),
    SealedColumn(NetworkAccount, "sealed_webhook_secret"),
    SealedColumn(NetworkAccount, "sealed_old_webhook_secret"),
    SealedColumn(IdentityVerifier, "sealed_key"),
    SealedColumn(IdentityVerifier, "sealed_webhook_secret"),
    SealedColumn(IdentityVerifier, "sealed_old_webhook_secret"),
    SealedColumn(IdentitySession, "sealed_address"),
    SealedColumn(PhoneUpload, "sealed_key"),
    SealedColumn(CoachFeedEntry, "sealed_key"),
)
