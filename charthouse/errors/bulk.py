"""CH15x and CH16x: Bulk Data exports and SMART Backend Services."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH150",
        "The provider's token endpoint refuses our system client",
        "Check the client id and key of its registration, and that the provider knows our key: charthouse keys.",
    ),
    ErrorCode(
        "CH151",
        "The provider refused to export",
        "Check its group and what it lets us read: charthouse providers bulk SLUG.",
    ),
    ErrorCode("CH152", "The export failed at the provider", "Nothing to do: the next night asks for a new one."),
    ErrorCode("CH153", "The export's manifest cannot be used", "Tell the provider; the next night tries again."),
    ErrorCode(
        "CH154",
        "A file of the export could not be read whole",
        "Nothing to do: the next night asks for that type again.",
    ),
    ErrorCode(
        "CH155",
        "A file of the export holds fewer resources than its manifest says",
        "Tell the provider; the next night asks for that type again.",
    ),
    ErrorCode("CH156", "The export is no longer there", "Nothing to do: the next night asks for a new one."),
    ErrorCode(
        "CH157",
        "The export was not ready in time",
        "Nothing to do: the next night takes it up; CHARTHOUSE_BULK_WAIT_MAX permits more.",
    ),
    ErrorCode(
        "CH158",
        "The export holds nothing of this person",
        "Ask the provider to put the patient into the group that is exported.",
    ),
    ErrorCode("CH159", "The provider reports errors in its export", "Tell the provider; the next night tries again."),
    ErrorCode("CH160", "A line of the export is no JSON", "Tell the provider; the next night tries again."),
    ErrorCode(
        "CH161",
        "A file of the export wants our token on another host",
        "If that host is the provider's: charthouse providers bulk SLUG --file-origin.",
    ),
    ErrorCode("CH162", "These settings of an export cannot be used", "Correct what is named."),
    ErrorCode(
        "CH163",
        "The private key cannot be used",
        "Give a JWK, a JWK set or a PEM with a private key: RSA, or elliptic of curve P-384.",
    ),
)
