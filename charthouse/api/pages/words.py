"""The words of the pages, English: what is read, what became of a sign-in, what kinds of notices there are."""

from __future__ import annotations

from typing import Final, NamedTuple

CATEGORIES: Final = (
    "Allergies",
    "Conditions",
    "Lab results",
    "Medications",
    "Pregnancy",
    "Procedures",
    "Social history",
    "Vaccines",
    "Visits",
    "Vitals",
)

CHANNELS: Final = {"email": "by mail", "push": "in the app", "apprise": "by message"}

NOTICES: Final = {
    "confirmed": "when a provider is connected",
    "not_confirmed": "when a connection takes longer than a day",
    "expiring": "when a connection is about to end",
    "expired": "when a connection has ended",
    "reconnected": "when a provider is connected again",
    "disconnected": "when a provider was disconnected",
    "provider_found": "when a provider was found",
    "export_ready": "when an export is ready",
    "erased": "when records were erased",
    "action_needed": "when something needs you",
    "all": "of any kind",
}


class Outcome(NamedTuple):
    """What became of a sign-in: a title, what it means, what comes next."""

    title: str
    text: str
    action: str


GOOD: Final = {
    "pending": Outcome(
        "You are connected",
        "We are now gathering your records. This takes anything from a few minutes to a day.",
        "You have nothing more to do. You will be told as soon as your records are there, and if they do not come.",
    ),
    "confirmed": Outcome(
        "You are connected again",
        "Your sign-in was renewed. Everything that was gathered before is still there.",
        "You have nothing more to do.",
    ),
}

VERIFIED: Final = {
    "verified": Outcome(
        "Your identity is verified",
        "We now look for your healthcare providers, and keep looking. You will be told of each that is found.",
        "Go back to the app. If you have not yet agreed to the search for your records, it asks you now.",
    ),
    "open": Outcome(
        "Your verification is not decided yet",
        "It can take a few minutes, and up to a few days if somebody has to look at it.",
        "You have nothing more to do here. Go back to the app: it shows how it stands.",
    ),
}

PROBLEMS: Final = {
    404: Outcome(
        "There is no such page",
        "The link that brought you here is not complete, or is not one of ours.",
        "Go back to the app and start again from there.",
    ),
    403: Outcome(
        "That did not come from this page",
        "The form was sent from another site, so nothing was done.",
        "Go back to the app and start again from there.",
    ),
    410: Outcome(
        "This link is no longer good",
        "It was used already, or it is too old. Each link works once, and only for a while.",
        "Go back to the app and start again: you will get a new one.",
    ),
    429: Outcome(
        "Too many tries in a short time",
        "Somebody at your address has asked for many pages.",
        "Wait a minute, and load this page again.",
    ),
    500: Outcome(
        "Something went wrong on our side",
        "Nothing of what you did is lost, and nothing was changed at your provider.",
        "Try again in a few minutes.",
    ),
}


def problem(status: int) -> Outcome:
    """What a page says of a refusal that has no words of its own."""
    if status in PROBLEMS:
        return PROBLEMS[status]
    return PROBLEMS[500] if status >= 500 else PROBLEMS[404]
