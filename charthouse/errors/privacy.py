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
        "CH906",
        "The erasure of the person took this request in",
        "Nothing to do: everything goes, and the erasure's receipt covers it.",
        final=True,
    ),
    ErrorCode(
        "CH910",
        "Something of what was erased is still there",
        "Nothing to do at first: it is erased again within minutes. If the same place is named twice, see what writes "
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
    # -- CH93x, CH94x: exports --------------------------------------------------------------------------------------
    ErrorCode("CH930", "An export cannot be made of this choice", "Correct what is named above.", final=True),
    ErrorCode("CH931", "An export cannot be written there", "Name a folder of yours that has the space.", final=True),
    ErrorCode(
        "CH932", "This export has no files", "Wait until it is ready, or ask for a new one: they are kept for days."
    ),
    ErrorCode("CH933", "It is no export of Charthouse, or a damaged one", "Get it anew.", final=True),
    ErrorCode("CH934", "A signed list does not fit the export", "It was changed: get the export anew.", final=True),
    ErrorCode("CH935", "A file was changed", "Get the export anew.", final=True),
    ErrorCode("CH936", "A file is missing", "Name all parts of the export, or get it anew.", final=True),
    ErrorCode("CH937", "A file was added", "It is not ours: do not open it.", final=True),
    ErrorCode("CH938", "A part of the export is missing", "Name all of its ZIPs.", final=True),
    ErrorCode(
        "CH939", "A key set cannot be read", "Name a JSON Web Key set, such as: charthouse keys public", final=True
    ),
    ErrorCode("CH940", "This download is over, was used, or never was", "Ask for a new link to it.", final=True),
    ErrorCode("CH941", "That part of the download cannot be given", "Ask for what Content-Range names.", final=True),
    ErrorCode("CH942", "An export's file is damaged at rest", "Nothing to do: it is made anew."),
    ErrorCode("CH943", "The export was called off", "Nothing to do: its person is being erased.", final=True),
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
        "CH957",
        "PostgreSQL's own tools are missing or too old for a backup",
        "Put pg_dump and pg_restore of the server's version on the PATH (Debian: postgresql-client).",
        final=True,
    ),
    ErrorCode(
        "CH958",
        "A backup is not put into another backup",
        "Name a new folder beside it, such as one for each day: the other would no longer hold.",
        final=True,
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
