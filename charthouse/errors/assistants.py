"""CH690 to CH699: assistants that connect over MCP, and the coach's feed for back ends."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = (
    ErrorCode("CH690", "The call of a tool failed here", "Try again; the log says what went wrong."),
    ErrorCode(
        "CH691",
        "An assistant reads one person's records, and the token acts for no person",
        "Use a token that acts for the person: charthouse tokens issue --person KEY",
        final=True,
    ),
    ErrorCode(
        "CH692",
        "A page of another origin may not speak to the assistants' endpoint",
        "Call it from a server, or from a page of the address that CHARTHOUSE_PUBLIC_URL names.",
        final=True,
    ),
    ErrorCode(
        "CH693",
        "The cursor of the feed is too old, or the feed was begun anew",
        "Empty the index and start again without a cursor: what was taken away meanwhile is told no more.",
        final=True,
    ),
    ErrorCode("CH694", "The cursor is none of the feed's", "Send `cursor` of an answer as it came.", final=True),
)
