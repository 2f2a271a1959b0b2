"""The GraphQL documents that b.well is asked with, and their variables.

Source: developer.bwell.com, "Application APIs". Published word for word there are `userProfile`, `updateUserProfile`,
`createConsent`, `getMemberConnections`, `subscriptionStatuses` and `getOauthUrl`; `disconnectConnection` and
`deleteConnection` by name, with their argument alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from charthouse.partners.network import Who

PROFILE: Final = "query getProfile { userProfile { id birthDate name { family given } } }"
UPDATE_PROFILE: Final = (
    "mutation updateUserProfile($person: FHIRPersonInput)"
    " { updateUserProfile(input: $person) { id birthDate name { family given } } }"
)
CREATE_CONSENT: Final = (
    "mutation createConsent($consentInput: ConsentInput!)"
    " { createConsent(consentInput: $consentInput) { id status provision { type } } }"
)
CONNECTIONS: Final = (
    "query getMemberConnections { getMemberConnections"
    " { id name category integrationType type status syncStatus syncErrors { coding { display code } }"
    " statusUpdated lastSynced created }"
    " subscriptionStatuses"
    " { entry { resource { extension { id url valueString } error { coding { system code display } } } } } }"
)
"""Both in one request: whose connections there are, and which patient each of them is."""
OAUTH_URL: Final = (
    "query getOauthUrl($connectionId: String!) { getOauthUrl(connectionId: $connectionId) { redirectUrl } }"
)
DISCONNECT: Final = (
    "mutation disconnectConnection($connectionId: String!)"
    " { disconnectConnection(connectionId: $connectionId) { id status syncStatus } }"
)
DELETE: Final = (
    "mutation deleteConnection($connectionId: String!)"
    " { deleteConnection(connectionId: $connectionId) { id status syncStatus } }"
)
IMPORT_RECORDS: Final = "IAS_IMPORT_RECORDS"


def consent(provision: str) -> dict[str, Any]:
    """The variables of a consent to the search: `PERMIT` or `DENY`."""
    category = {"system": "http://www.icanbwell.com/consent-category", "code": IMPORT_RECORDS}
    return {
        "consentInput": {"status": "ACTIVE", "provision": {"type": provision}, "category": [{"coding": [category]}]}
    }


def profile_of(who: Who) -> dict[str, Any]:
    """The variables of a profile, with the least that b.well requires: names and birth date."""
    name = {"family": who.family, "given": list(who.given)}
    return {"person": {"resourceType": "Person", "name": [name], "birthDate": who.birth_date}}
