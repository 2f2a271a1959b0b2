"""CH4xx: auditing, and what is shown of the records."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH401",
        "A row breaks a row rule: it is withheld",
        "Read the rule in expectations/README.md; the resource stays in the vault.",
    ),
    ErrorCode(
        "CH402",
        "A table rule failed: the batch is held",
        "Mend the cause, then run sync_records again.",
        final=True,
    ),
    ErrorCode(
        "CH403",
        "An expectation could not be evaluated",
        "Read the log of the audit task, and correct the suite in expectations/.",
    ),
    ErrorCode("CH404", "People could not be built: their rows stay as they were", "Read the log of the build task."),
    ErrorCode(
        "CH405",
        "A row breaks a row rule: it is published, and its remarks name the rule",
        "Nothing to do: expectations/README.md says what each rule asks.",
    ),
    ErrorCode(
        "CH415",
        "The answer cannot be drawn",
        "Ask for a date and a number, or leave out --chart.",
    ),
)
