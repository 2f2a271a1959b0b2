"""The catalogue of numbered errors and outcomes. A number is never reused; a gap is a number that retired.

An error says what, where and how to mend it, and never holds a value of a person: `where` is a file, a variable, a
resource type or an id of ours; `what` is a fixed sentence or a library's message about *our* input.

Ranges: CH0xx setting up · CH1xx fetching · CH2xx checking (declared in `transforms.checking.rules`) · CH3xx views
(declared in `transforms.sql_on_fhir.errors`) · CH4xx auditing · CH5xx the lakes · CH6xx state and links.
"""

from __future__ import annotations

from transforms.errors import ErrorCode

CATALOGUE: dict[str, ErrorCode] = {
    entry.code: entry
    for entry in (
        # -- CH0xx: setting up -----------------------------------------------------------------------------------
        ErrorCode(
            "CH001", "A setting does not fit", "Correct the variable, or unset it to get the default.", final=True
        ),
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
        # -- CH1xx: fetching -------------------------------------------------------------------------------------
        ErrorCode("CH101", "The provider cannot be reached", "Nothing to do: the next night tries again."),
        ErrorCode("CH102", "The provider refused the token (401)", "The person signs in at the provider again."),
        ErrorCode(
            "CH103",
            "The provider does not permit this type (403)",
            "The person may grant it when linking again.",
        ),
        ErrorCode("CH104", "The provider does not know this address (404)", "Check the endpoint of the provider."),
        ErrorCode(
            "CH105",
            "The provider answered with something that is no JSON",
            "Check the endpoint of the provider.",
        ),
        ErrorCode("CH106", "A page holds invalid JSON", "Tell the provider; the next night tries again."),
        ErrorCode("CH107", "A page is not a searchset Bundle", "Tell the provider; the next night tries again."),
        ErrorCode("CH108", "The pages run in a loop", "Tell the provider; what came before the loop is kept."),
        ErrorCode("CH109", "The provider kept answering 429 or 5xx", "Nothing to do: the next night tries again."),
        ErrorCode("CH110", "There were more pages than permitted", "Raise CHARTHOUSE_MAX_PAGES if they are genuine."),
        ErrorCode("CH111", "The provider refused the search (4xx)", "Check what its /metadata declares."),
        ErrorCode("CH112", "The CapabilityStatement cannot be used", "Check the endpoint of the provider."),
        ErrorCode("CH113", "The access token could not be renewed", "The person signs in at the provider again."),
        ErrorCode(
            "CH114",
            "A next link leads to another host",
            "Tell the provider; tokens are never sent elsewhere.",
        ),
        ErrorCode("CH115", "The provider sent a warning with the results", "Nothing to do: it is kept as a remark."),
        ErrorCode("CH116", "A referenced resource could not be read", "Nothing to do: the next night tries again."),
        ErrorCode("CH117", "The batch was not worked to its end", "Read its task logs; the next night tries again."),
        ErrorCode("CH118", "Too many links failed", "Run: charthouse status; the threshold is a setting.", final=True),
        ErrorCode(
            "CH119", "A page is empty although more was announced", "Tell the provider; the next night tries again."
        ),
        ErrorCode("CH120", "An answer is larger than permitted", "Tell the provider, or lower CHARTHOUSE_PAGE_SIZE."),
        ErrorCode(
            "CH121",
            "The provider redirects to another host",
            "Check the endpoint of the provider; tokens are never sent elsewhere.",
        ),
        ErrorCode("CH122", "The batch is gone: its run has ended", "Trigger sync_records again.", final=True),
        ErrorCode(
            "CH123",
            "The provider's token endpoint refuses us",
            "Check the endpoint of the provider and the client id; the people's links stay as they are.",
        ),
        ErrorCode(
            "CH124",
            "The time for fetching ran out",
            "Nothing to do: the next night goes on; CHARTHOUSE_FETCH_TIME_MAX permits more.",
        ),
        ErrorCode("CH125", "An entry of a page holds no resource", "Tell the provider; the next night tries again."),
        ErrorCode(
            "CH126",
            "The fetch of a link broke",
            "It is a fault of Charthouse: report it with the line of the task log that names it.",
        ),
        # -- CH4xx: auditing -------------------------------------------------------------------------------------
        ErrorCode(
            "CH401",
            "A row breaks a row rule",
            "Read the rule in expectations/; the resource stays in the vault.",
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
        ErrorCode(
            "CH404", "People could not be built: their rows stay as they were", "Read the log of the build task."
        ),
        # -- CH5xx: the lakes ------------------------------------------------------------------------------------
        ErrorCode(
            "CH501",
            "The lake cannot be opened",
            "If it is new, run: charthouse init; otherwise correct its address, or restore its catalog.",
        ),
        ErrorCode("CH502", "The lake is being written by another process", "Nothing to do: the task tries again."),
        ErrorCode(
            "CH503",
            "The tables were not published: they stay as they were",
            "Read the log of the publish task.",
            final=True,
        ),
        ErrorCode(
            "CH504",
            "The vault lacks what has been read",
            "Restore the vault that belongs to the state, or run: charthouse refetch; the next night then asks for "
            "everything again.",
            final=True,
        ),
        ErrorCode(
            "CH505",
            "A statement failed in a lake",
            "Read the log, which names the place: free the disk, or restore a lost file from your backup.",
        ),
        ErrorCode(
            "CH506",
            "The tables are published, but a lake was not compacted",
            "Nothing to do: the next night compacts it; if that fails too, read the log of the publish task.",
        ),
        # -- CH6xx: state and links ------------------------------------------------------------------------------
        ErrorCode(
            "CH601",
            "The link may not go from its status to that one",
            "Read the diagram in docs/state.md.",
        ),
        ErrorCode(
            "CH602", "There is no such person, provider or link", "List them with: charthouse people list", final=True
        ),
        ErrorCode("CH603", "The state database is of another version", "Run: charthouse init", final=True),
        ErrorCode("CH604", "The provider refused the sign-in", "Start the link again."),
        ErrorCode(
            "CH605",
            "The state database cannot be used",
            "Start its server or correct its address; restore a damaged file from your backup.",
        ),
        ErrorCode(
            "CH606", "The sign-in was for another patient than the link", "Start a link of its own for that one."
        ),
        ErrorCode(
            "CH607", "A person's, provider's or partner's details cannot be used", "Correct what is named above."
        ),
        ErrorCode("CH608", "Another process holds this and does not let go", "Nothing to do: the task tries again."),
        ErrorCode(
            "CH609", "There is no state database yet", "Start with: make nightly, or: charthouse init", final=True
        ),
    )
}


def catalogue() -> dict[str, ErrorCode]:
    """Every code there is, those of the checks and of the views included, in order."""
    from transforms.checking.rules import RULES
    from transforms.sql_on_fhir.errors import CODES

    everything = CATALOGUE | CODES
    everything |= {rule.id: ErrorCode(rule.id, rule.title, rule.mend) for rule in RULES.values()}
    return dict(sorted(everything.items()))


def catalogue_markdown() -> str:
    """docs/errors.md: every code, what it means, and what to do."""
    lines = [f"| {entry.code} | {entry.title} | {entry.mend} |" for entry in catalogue().values()]
    return _HEAD + "\n".join(lines) + "\n"


_HEAD = """# Errors and outcomes

Every error and every outcome has a number, which is never used for anything else. Generated from the code
(`charthouse errors --markdown`); a test compares it.

CH0xx setting up · CH1xx fetching · CH2xx checking · CH3xx views · CH4xx auditing · CH5xx the lakes · CH6xx state
and links

| code | what it means | what to do |
|---|---|---|
"""


class CharthouseError(Exception):
    """A numbered error. `str()` is one clear sentence that can be shown to an operator as it is."""

    def __init__(self, code: str, *, where: str = "", what: str = "") -> None:
        self.entry = CATALOGUE[code]
        self.code = code
        self.where = where
        self.what = what
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """Code, what, where and what to do, on one line."""
        head = f"{self.code} {self.entry.title}"
        detail = " · ".join(part for part in (self.where, self.what) if part)
        return f"{head}{': ' + detail if detail else ''}. {self.entry.mend}"


class SetupError(CharthouseError):
    """The installation cannot start (CH0xx)."""


class FetchError(CharthouseError):
    """One request, type or link could not be fetched (CH1xx). It becomes an outcome, never a failed run."""


class AuditError(CharthouseError):
    """Staged rows could not be published (CH4xx)."""


class LakeError(CharthouseError):
    """A lake could not be used (CH5xx)."""


class StateError(CharthouseError):
    """The state database refused a step (CH6xx)."""
