"""CH6xx: state and links."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH601",
        "The link may not go from its status to that one",
        "Read the diagram in docs/state.md.",
    ),
    ErrorCode(
        "CH602",
        "There is no such person, provider or link",
        "List them with: charthouse people list, charthouse providers list or charthouse links list",
        final=True,
    ),
    ErrorCode("CH603", "The state database is of another version", "Run: charthouse init", final=True),
    ErrorCode("CH604", "The provider refused the sign-in", "Start the link again."),
    ErrorCode(
        "CH605",
        "The state database cannot be used",
        "Start its server or correct its address; restore a damaged file from your backup.",
    ),
    ErrorCode("CH606", "The sign-in was for another patient than the link", "Start a link of its own for that one."),
    ErrorCode("CH607", "A person's, provider's or partner's details cannot be used", "Correct what is named above."),
    ErrorCode("CH608", "Another process holds this and does not let go", "Nothing to do: the task tries again."),
    ErrorCode("CH609", "There is no state database yet", "Start with: make nightly, or: charthouse init", final=True),
)
