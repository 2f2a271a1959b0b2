"""CH9xx: privacy. CH90x requests, CH91x and CH92x erasing, CH93x and CH94x exports, CH95x and CH96x keeping."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode("CH900", "There is no such request", "List them with: charthouse requests", final=True),
    ErrorCode(
        "CH901",
        "The request is past the point at which it can be cancelled",
        "Nothing to do: what has been erased cannot be brought back.",
        final=True,
    ),
    ErrorCode(
        "CH902", "A request cannot be made of this", "Correct what is named above; see docs/privacy.md.", final=True
    ),
    ErrorCode("CH903", "Another process works on this request", "Nothing to do: it goes on there."),
    ErrorCode(
        "CH904",
        "A signed document does not hold",
        "It was changed after it was signed, or signed by another installation: get it anew.",
        final=True,
    ),
    ErrorCode("CH905", "A person who is being erased cannot do this", "Wait for the receipt.", final=True),
)
