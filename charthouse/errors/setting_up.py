"""CH0xx: setting up."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode("CH001", "A setting does not fit", "Correct the variable, or unset it to get the default.", final=True),
    ErrorCode("CH002", "SOURCE cannot be read", "Name a folder of FHIR files, or one such file."),
    ErrorCode(
        "CH003",
        "SOURCE holds no FHIR resources",
        "Put FHIR Bundles (.json, .json.gz) or NDJSON (.ndjson, .ndjson.gz) into it.",
    ),
    ErrorCode("CH004", "A port is in use", "Free it, name another, or leave the setting empty."),
    ErrorCode(
        "CH005",
        "A folder cannot be written",
        "Give this user the right to write, or set CHARTHOUSE_HOME.",
    ),
    ErrorCode(
        "CH006",
        "The key file is missing or unreadable",
        "Restore it from your backup: sealed tokens cannot be opened without it.",
        final=True,
    ),
    ErrorCode("CH007", "Another run holds this home", "Wait for it to end, or use another CHARTHOUSE_HOME."),
    ErrorCode("CH008", "The sandbox did not start", "Read its log, named above."),
    ErrorCode("CH009", "There is no run yet", "Start one with: make nightly", final=True),
    ErrorCode(
        "CH010",
        "The query could not be run",
        "Correct the SQL; the ten tables answer to their bare names.",
    ),
    ErrorCode(
        "CH011",
        "The run failed in Airflow",
        "Read the log named above, mend the cause, and run it again.",
    ),
    ErrorCode(
        "CH012",
        "SOURCE holds no Patient",
        "Add the Patient resources that its records point at: people are linked by them.",
    ),
    ErrorCode(
        "CH013", "The resource cannot be read", "Name a file that holds one FHIR resource as JSON, or - to send it."
    ),
    ErrorCode(
        "CH014",
        "There is no Airflow in this home yet",
        "Start it with: make airflow (or, for one night without its web page: make nightly)",
        final=True,
    ),
    ErrorCode(
        "CH015",
        "The sandbox is not running",
        "It runs only during a night, and while `make airflow` does: start that in another terminal.",
    ),
    ErrorCode(
        "CH016",
        "The sandbox of this home plays no such provider",
        "It plays `generated` after: make nightly, or: make airflow",
        final=True,
    ),
    ErrorCode(
        "CH017",
        "The records have no such table",
        "Name one that `charthouse dictionary` lists.",
        final=True,
    ),
)
