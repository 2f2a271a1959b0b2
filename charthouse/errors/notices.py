"""CH7xx: telling people."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH700",
        "A notice cannot be made of this",
        "Its kind is one of the declared ones; its reason and detail are short codes and slugs of ours.",
        final=True,
    ),
    ErrorCode("CH701", "There is no such notice or delivery", "List them with: charthouse notices list"),
    ErrorCode("CH702", "A contact cannot be used", "Correct what is named above."),
    ErrorCode("CH703", "A preference cannot be used", "Correct what is named above."),
    ErrorCode("CH704", "The link to unsubscribe is not one of ours, or was damaged", "Use the link of the mail whole."),
    ErrorCode(
        "CH710",
        "The receiver of notices did not answer, or not in time",
        "Nothing to do: it is tried again for days. Look at the receiver, then: charthouse notices retry ID",
    ),
    ErrorCode(
        "CH711",
        "The receiver of notices is busy or has a fault of its own",
        "Nothing to do: it is tried again for days. Look at the receiver, then: charthouse notices retry ID",
    ),
    ErrorCode(
        "CH712",
        "The receiver of notices refused one",
        "Look into the receiver's log: the path, and the secret it verifies with (charthouse notices secret show).",
    ),
    ErrorCode(
        "CH713",
        "The receiver of notices says that it is gone for good",
        "Set CHARTHOUSE_WEBHOOK_URL to the present one, then: charthouse notices retry ID",
    ),
    ErrorCode(
        "CH714",
        "The receiver of notices sends us elsewhere, where we do not go",
        "Set CHARTHOUSE_WEBHOOK_URL to the address that it means.",
    ),
    ErrorCode(
        "CH715",
        "The mail server cannot be reached, or breaks off",
        "Nothing to do: it is tried again for days. Look at CHARTHOUSE_SMTP_URL and at the server.",
    ),
    ErrorCode(
        "CH716",
        "The mail server refused the address or the mail for good",
        "Ask the person for another address; the server's log says why.",
    ),
    ErrorCode("CH717", "The mail server put the mail off", "Nothing to do: it is tried again for days."),
    ErrorCode(
        "CH718",
        "The mail server does not take mail from us",
        "Correct login, encryption and certificate: CHARTHOUSE_SMTP_URL, CHARTHOUSE_MAIL_FROM.",
    ),
    ErrorCode(
        "CH719",
        "A contact's Apprise service refused the notice or did not answer",
        "Nothing to do: it is tried again for days. Ask the person to set the contact again.",
    ),
    ErrorCode(
        "CH720",
        "The channel of a notice is not set up",
        "Set CHARTHOUSE_SMTP_URL and CHARTHOUSE_MAIL_FROM (mail), CHARTHOUSE_WEBHOOK_URL (push), "
        "CHARTHOUSE_APPRISE_SERVICES (Apprise), then: charthouse notices retry ID",
    ),
    ErrorCode("CH721", "A notice could not be written", "Report it: a text of ours is at fault."),
    ErrorCode("CH722", "A notice is too old to be told", "Nothing to do; CHARTHOUSE_NOTICES_MAX_AGE says how old."),
)
