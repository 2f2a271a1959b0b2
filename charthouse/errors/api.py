"""CH8xx: the REST API and its tokens."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode("CH801", "The request carries no service token", "Send one as: Authorization: Bearer TOKEN."),
    ErrorCode("CH802", "The service token is not one of ours", "Get a new one, for this audience and this address."),
    ErrorCode("CH803", "The service token's time is over", "Get a new one: they live for minutes."),
    ErrorCode(
        "CH804",
        "The service token is of the future, or lives longer than permitted",
        "Set the clock of the machine that made it, and ask for fewer minutes.",
    ),
    ErrorCode("CH805", "The service token does not permit this", "Use an operator's token."),
    ErrorCode("CH806", "There is nothing here, or nothing that this token may see", "Check the address."),
    ErrorCode("CH807", "This address does not take that method", "Use a method that the Allow header names."),
    ErrorCode("CH808", "The request is too large", "Send less than a megabyte."),
    ErrorCode("CH809", "The body is not in a form that is read here", "Send JSON, uncompressed, as application/json."),
    ErrorCode("CH810", "The body is no JSON", "Correct it: UTF-8, no NaN, numbers of ordinary size."),
    ErrorCode("CH811", "The request does not fit the API's document", "Correct what `errors` names."),
    ErrorCode("CH812", "Too many requests", "Wait for as long as Retry-After says."),
    ErrorCode(
        "CH813", "The first request with this Idempotency-Key is still at work", "Ask again: its answer will be kept."
    ),
    ErrorCode(
        "CH814", "This Idempotency-Key was used for another request", "Use a new key, or send the same request again."
    ),
    ErrorCode("CH815", "The Idempotency-Key cannot be used", "Send 1 to 255 visible characters, such as a UUID."),
    ErrorCode("CH816", "The cursor is not of this listing", "Begin without a cursor."),
    ErrorCode("CH817", "People may not be sent back to that address", "Name its origin in CHARTHOUSE_RETURN_ORIGINS."),
    ErrorCode("CH818", "Charthouse made a mistake", "Report it, with the request id."),
    ErrorCode("CH819", "Charthouse cannot answer now", "Ask again later; an operator reads the log."),
    ErrorCode("CH820", "The request did not come to its end in time", "Send it again."),
    ErrorCode("CH821", "The form was sent from another site", "Open the page itself, and press its button."),
    ErrorCode("CH822", "This sign-in is over, was used, or never was", "Start it again from the app."),
    ErrorCode(
        "CH823",
        "People's browsers have no address to reach the REST API at",
        "Set CHARTHOUSE_PUBLIC_URL to the address that they reach it at.",
    ),
    ErrorCode("CH824", "The key set of the app's back end cannot be read", "Correct CHARTHOUSE_API_BACKEND_KEYS."),
)
