"""The catalogue of numbered errors and outcomes. A number is never reused; a gap is a number that retired.

An error says what, where and how to mend it, and never holds a value of a person: `where` is a file, a variable, a
resource type or an id of ours; `what` is a fixed sentence or a library's message about *our* input.

Ranges: CH0xx setting up · CH1xx fetching · CH2xx checking (declared in `transforms.checking.rules`) · CH3xx views
(declared in `transforms.sql_on_fhir.errors`) · CH4xx auditing · CH5xx the lakes · CH6xx state and links · CH7xx
notices · CH8xx the REST API · CH9xx privacy,
phones from CH970, the sandbox from CH990 on.
"""

from __future__ import annotations

from charthouse.errors import (
    api,
    assistants,
    auditing,
    bulk,
    coach,
    fetching,
    identity,
    lakes,
    linking,
    network,
    notices,
    phone,
    privacy,
    sandbox,
    setting_up,
    state,
)
from transforms.errors import ErrorCode

CATALOGUE: dict[str, ErrorCode] = {
    entry.code: entry
    for room in (
        setting_up,
        fetching,
        bulk,
        network,
        identity,
        auditing,
        lakes,
        state,
        linking,
        coach,
        assistants,
        notices,
        api,
        privacy,
        phone,
        sandbox,
    )
    for entry in room.CODES
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
and links · CH7xx notices · CH8xx the REST API · CH9xx privacy, phones (CH970 on), the
sandbox (CH990 on)

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
        said = f"{head}{': ' + detail if detail else ''}"
        return f"{said}{'' if said[-1] in '.!?' else '.'} {self.entry.mend}"


class SetupError(CharthouseError):
    """The installation cannot start (CH0xx)."""


class FetchError(CharthouseError):
    """One request, type or link could not be fetched (CH1xx). It becomes an outcome, never a failed run."""


class AuditError(CharthouseError):
    """Staged rows could not be published (CH4xx)."""


class LakeError(CharthouseError):
    """A lake could not be used (CH5xx)."""


class StateError(CharthouseError):
    """The state database refused a step (CH60x)."""


class LinkError(CharthouseError):
    """A person, provider or sign-in cannot go on like this (CH61x to CH67x)."""


class CoachError(CharthouseError):
    """A question to the coach's feed cannot be answered (CH68x, CH69x)."""


class NoticeError(CharthouseError):
    """A notice could not be made or delivered (CH7xx)."""


class PrivacyError(CharthouseError):
    """A request about somebody's own data cannot go on like this (CH9xx)."""


class PhoneError(CharthouseError):
    """A phone, its data sources or an upload cannot go on like this (CH97x, CH98x)."""


class ApiError(CharthouseError):
    """A request to the REST API was refused (CH8xx)."""
