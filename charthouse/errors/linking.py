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
    ErrorCode(
        "CH630",
        "The answer belongs to no sign-in that is under way",
        "Start the link again, and finish it in the same browser.",
    ),
    ErrorCode(
        "CH631",
        "The sign-in was begun in another browser",
        "Finish it in the browser in which it was begun, or start the link again.",
    ),
    ErrorCode("CH632", "The sign-in took longer than an hour", "Start the link again."),
    ErrorCode("CH633", "The sign-in was cut off half-way", "Start the link again; nothing else is lost."),
    ErrorCode(
        "CH634",
        "The answer names another server than the one that was asked",
        "Start the link again; if it comes again, tell the operator: somebody may be mixing servers up.",
    ),
    ErrorCode("CH635", "The provider's page was left without permission", "Start the link again and agree there."),
    ErrorCode("CH636", "The provider did not take its own code back", "Start the link again."),
    ErrorCode(
        "CH637",
        "The provider does not take us for the client that we are registered as",
        "Compare the registration with the provider's: charthouse providers check.",
    ),
    ErrorCode(
        "CH638",
        "The provider does not let us read who the records are about",
        "Start the link again and leave the box for personal details (Patient, Demographics) ticked.",
    ),
    ErrorCode("CH639", "The provider granted nothing to read", "Start the link again and tick what to share."),
    ErrorCode(
        "CH640",
        "The provider does not say whose records these are",
        "Start the link again; if it comes again, tell the provider: the answer lacks `patient`.",
    ),
    ErrorCode("CH641", "The provider's identity token does not hold", "Start the link again; tell the provider."),
    ErrorCode(
        "CH642",
        "The provider does not answer, or answers with no sense",
        "Nothing is lost: try again in a few minutes.",
    ),
    ErrorCode(
        "CH643",
        "The records are a minor's, and what was read is being removed",
        "Wait until it is done, within the hour; then adults may start over with records of their own.",
    ),
    ErrorCode(
        "CH644",
        "The records are somebody else's",
        "Sign in as yourself; if your name or birth date changed, ask the provider to update it.",
    ),
    ErrorCode("CH645", "No key of ours signs like that", "Name one of the algorithms above.", final=True),
    ErrorCode(
        "CH646",
        "A provider refuses our client registration: nobody's links are renewed there",
        "Compare the registration with the provider's: charthouse providers check. A secret or a key may have run out.",
    ),
    ErrorCode(
        "CH647",
        "A provider's token endpoint refuses our requests: nobody's links are renewed there",
        "Check the endpoint of the provider: charthouse providers check.",
    ),
)
