"""CH61x to CH65x: who may link, signing in, credentials and providers."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = (
    ErrorCode(
        "CH610",
        "The account does not say who its person is",
        "Give their name and birth date: charthouse people edit KEY --identity FILE",
        final=True,
    ),
    ErrorCode("CH611", "The person is not of age in their country", "Nothing to do until they are.", final=True),
    ErrorCode(
        "CH612",
        "The provider's region is not supported",
        "A region is a row of charthouse/linking/data/regions.json.",
        final=True,
    ),
    ErrorCode(
        "CH613",
        "The provider cannot be linked: it is closed, or retired",
        "Open it with: charthouse providers edit SLUG --open",
        final=True,
    ),
    ErrorCode("CH614", "This way of linking is not offered in the region", "Use the direct sign-in.", final=True),
    ErrorCode(
        "CH615",
        "The person's phone is not known to run Android 14 or higher",
        "Tell what it runs: charthouse people edit KEY --android 14",
        final=True,
    ),
    ErrorCode(
        "CH616",
        "The person is no member of the preview",
        "Let them in: charthouse people edit KEY --preview",
        final=True,
    ),
    ErrorCode(
        "CH617",
        "What was read under an ended link is still to be removed",
        "Nothing to do: the hourly refresh_connections removes it.",
    ),
    ErrorCode("CH618", "The identity cannot be used", "Correct what is named above.", final=True),
    ErrorCode("CH619", "The client registration cannot be used", "Correct what is named above.", final=True),
    ErrorCode(
        "CH620",
        "There is no such client registration",
        "Make it with: charthouse providers register SLUG --client-id ID",
        final=True,
    ),
    ErrorCode("CH621", "The list of brands cannot be read", "Name a User-access Brands Bundle: a file or its URL."),
    ErrorCode(
        "CH622",
        "The provider has links whose tokens would be sent elsewhere",
        "Say --with-links if the new address is the same provider's.",
        final=True,
    ),
    ErrorCode(
        "CH623",
        "A provider of that slug, or at that address, is known already",
        "Change it with: charthouse providers edit SLUG",
        final=True,
    ),
    ErrorCode(
        "CH624", "No code speaks to this partner", "Write its class: see charthouse/partners/registry.py.", final=True
    ),
    ErrorCode("CH625", "The account has a person already", "Use that one.", final=True),
)
