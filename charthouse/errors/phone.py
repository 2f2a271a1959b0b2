"""CH170 to CH174: records of a phone. CH970 to CH989: phones and what they upload."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH170",
        "A record of the phone cannot be read as a FHIR resource",
        "Send the text of FhirResource as Health Connect gives it; the other records are kept.",
    ),
    ErrorCode(
        "CH171",
        "A record of the phone holds other resources (contained)",
        "Nothing to do: Health Connect takes no such record, and neither do we.",
    ),
    ErrorCode(
        "CH172",
        "A record of the phone is of no type that Health Connect keeps",
        "Nothing to do: link the provider directly to have it.",
    ),
    ErrorCode(
        "CH173",
        "A record of the phone does not have the structure that Health Connect asks for",
        "The app that writes it has to mend it; the other records are kept.",
    ),
    ErrorCode(
        "CH174",
        "A record of the phone is of another type than the one it was sent as",
        "Send it as the type that MedicalResource names, if that is permitted.",
    ),
    ErrorCode("CH970", "This phone is not connected", "Connect it first: PUT the state of the phone."),
    ErrorCode(
        "CH971",
        "This phone is connected to another account",
        "Disconnect it there first: Health Connect holds the records of one person.",
    ),
    ErrorCode("CH972", "The person has not agreed to syncing", "Ask for the consent `sync` first."),
    ErrorCode("CH973", "The phone has no such data source", "Send the data sources as the phone has them now."),
    ErrorCode("CH974", "The data source's version of FHIR is not supported", "Health Connect has 4.0.1 and 4.3.0."),
    ErrorCode(
        "CH975",
        "The person has not permitted this type in Health Connect",
        "The person permits it in Health Connect; then send the permissions again.",
    ),
    ErrorCode(
        "CH976",
        "The data sources are beyond what Health Connect permits",
        "20 of one app, each with a name of its own of 90 characters at most, and addresses of 2,000.",
    ),
    ErrorCode(
        "CH977",
        "The phone has sent all that it may send for now",
        "Wait for as long as Retry-After says: 35 MB in 15 minutes.",
    ),
    ErrorCode("CH978", "The chunk or the upload is larger than permitted", "Upload-Limit says how much may be sent."),
    ErrorCode(
        "CH979",
        "The upload goes on at another byte",
        "Go on at Upload-Offset: HEAD tells it after a cut.",
    ),
    ErrorCode("CH980", "The chunk has no SHA-256 that can be read", "Send Content-Digest: sha-256=:…: (RFC 9530)."),
    ErrorCode("CH981", "The chunk is not what its Content-Digest says", "Send it again: nothing of it was kept."),
    ErrorCode("CH982", "The upload is not what its SHA-256 and length say", "Read the records and upload them anew."),
    ErrorCode("CH983", "Another request is at work on this upload", "Wait for it, or ask for the offset in a second."),
    ErrorCode(
        "CH984",
        "The upload cannot be read line by line",
        "Send a JSON object a line, of at most a million bytes of FHIR each (docs/phone.md).",
    ),
    ErrorCode(
        "CH985",
        "The upload does not say whose records it holds",
        "The person permits personal details in Health Connect, so that the app can send the Patient.",
    ),
    ErrorCode(
        "CH986",
        "The records are not of the account's own person",
        "Only the person's own records may be synced; a changed name is mended at the provider.",
    ),
    ErrorCode("CH987", "The upload is over", "Ask what became of it, or begin a new one."),
    ErrorCode("CH988", "This reading was begun with other contents", "Give every reading an id of its own."),
    ErrorCode(
        "CH989",
        "The request is not one of a resumable upload",
        "Send application/partial-upload with Upload-Offset and Upload-Complete (docs/phone.md).",
    ),
)
