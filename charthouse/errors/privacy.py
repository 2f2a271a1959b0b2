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
        "CH950",
        "The audit trail does not hold",
        "Somebody wrote to the state database past this software: find out who, and keep a copy of it and of keys/.",
        final=True,
    ),
    ErrorCode(
        "CH951",
        "A request of a person comes near its due date",
        "See why it is not done: charthouse requests. Its alarm closes with it.",
    ),
    ErrorCode(
        "CH952",
        "The backup cannot be made",
        "Correct what is named above; nothing of it is left, and nothing of the home was changed.",
        final=True,
    ),
    ErrorCode(
        "CH953",
        "The backup does not hold",
        "A file is missing or was changed since it was written: use another backup.",
        final=True,
    ),
    ErrorCode("CH954", "The backup cannot be restored here", "Correct what is named above.", final=True),
    ErrorCode(
        "CH955",
        "This store is not one that we can back up",
        "Back it up with the means of its own, the state and the catalogs first; see docs/running.md.",
        final=True,
    ),
    ErrorCode(
        "CH956",
        "A DAG that works off requests of people takes longer than it should",
        "Look at its run in Airflow; the alarm closes when no request of its kind waits.",
    ),
    ErrorCode(
        "CH960",
        "The retention table does not know this",
        "CHARTHOUSE_RETENTION names entries of: charthouse retention",
        final=True,
    ),
    ErrorCode(
        "CH961", "Airflow's metadata could not be trimmed", "Read the log of the task; the next week tries again."
    ),
)
