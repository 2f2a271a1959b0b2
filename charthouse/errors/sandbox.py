"""CH990 to CH999: the sandbox's counterparties in a home."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = (
    ErrorCode(
        "CH990",
        "This home has a partner or a verifier of its own, and made-up people are not shown to it",
        "Run the night with made-up people in another home: CHARTHOUSE_HOME.",
    ),
    ErrorCode(
        "CH991",
        "The sandbox's verifier did not verify one of its own people",
        "Look into logs/sandbox.log of the home and run the night again.",
    ),
)
