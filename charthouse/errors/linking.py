"""CH61x to CH65x: who may link, signing in, credentials and providers."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = (
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
)
