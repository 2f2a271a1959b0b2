"""CH665 to CH679: verifying who somebody is."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = (
    ErrorCode(
        "CH665",
        "The verifier could not confirm the phone number or the e-mail address",
        "They verify again, with their own mobile number and an address that they can read.",
        final=True,
    ),
    ErrorCode(
        "CH666",
        "The verifier does not support the person's region",
        "They connect their providers directly, or verify where the verifier does.",
        final=True,
    ),
    ErrorCode(
        "CH667",
        "The government ID has expired",
        "They verify again, with one that is still valid.",
        final=True,
    ),
    ErrorCode(
        "CH668",
        "What the person told does not match trusted sources",
        "They compare what they typed with their ID and verify again, or connect their providers directly.",
        final=True,
    ),
    ErrorCode(
        "CH669",
        "The verification failed, and the verifier does not say why",
        "They verify again; the verifier's support helps if it lasts.",
        final=True,
    ),
    ErrorCode("CH670", "The verification was not finished", "They begin again when they like.", final=True),
    ErrorCode(
        "CH671",
        "The verified name or birth date differs from the account",
        "They correct the account and verify again; each person verifies themselves.",
        final=True,
    ),
    ErrorCode(
        "CH672",
        "The same person is verified for another account",
        "They use that account, or delete it first.",
        final=True,
    ),
    ErrorCode("CH673", "The person's identity is verified already", "Nothing to do: it still holds.", final=True),
    ErrorCode(
        "CH674",
        "No verifier of identities is set up",
        "Set it up: charthouse people set-verifier --project ID --key-file FILE --webhook-secret-file FILE",
        final=True,
    ),
    ErrorCode("CH675", "The verifier cannot be asked now", "Try again in a few minutes."),
    ErrorCode("CH676", "The settings of the verifier cannot be used", "Correct what is named above.", final=True),
    ErrorCode(
        "CH677",
        "The verifier does not say who was verified",
        "Let its project hand over names, birth date and user id; then: charthouse people verifications KEY --ask",
    ),
    ErrorCode("CH679", "There is no such verification", "They begin a new one in the app.", final=True),
)
