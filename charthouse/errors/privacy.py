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
    ErrorCode(
        "CH910",
        "Something of what was erased is still there",
        "Nothing to do at first: it is erased again within the hour. If the same place is named twice, see what writes "
        "there.",
    ),
    ErrorCode(
        "CH911",
        "A place could not be erased",
        "Make it writable (permissions, space on the disk, a lock that another program holds); it is tried again.",
    ),
    ErrorCode("CH912", "Another worker still holds what is to be erased", "Nothing to do: it is tried again."),
    ErrorCode(
        "CH913",
        "A file could not be opened to prove what is in it",
        "Look what it is: a file that nobody can read belongs out of the home.",
    ),
    ErrorCode("CH914", "The code is not that of this receipt", "Take the code that was given with the request."),
    ErrorCode(
        "CH915",
        "The tombstones of what was erased cannot be read",
        "Restore the file named above from where it is kept: without it, a restored backup brings people back.",
        final=True,
    ),
)
