"""CH175 to CH199: partner networks; CH650 to CH664: who may be searched for, and what was found."""

from transforms.errors import ErrorCode

CODES: tuple[ErrorCode, ...] = (
    ErrorCode(
        "CH175",
        "The partner does not take us for its client",
        "Compare the client key and secret with the partner's: charthouse network set.",
    ),
    ErrorCode("CH176", "The partner does not answer, or answers with no sense", "Nothing to do: it is asked again."),
    ErrorCode(
        "CH177",
        "The partner refuses what was asked of it",
        "Tell the partner; it is asked again at the person's next turn.",
    ),
    ErrorCode(
        "CH178",
        "No network account is set up with the region's partner",
        "Set it up: charthouse network set PARTNER --api URL --fhir URL --client-key KEY --secret-file FILE",
        final=True,
    ),
    ErrorCode("CH179", "The settings of the partner cannot be used", "Correct what is named above.", final=True),
    ErrorCode(
        "CH180",
        "The partner's stream ended with an error",
        "Nothing to do: what came is kept, and the next night asks for everything since the last whole one.",
    ),
    ErrorCode("CH181", "A line of the partner's stream is no JSON", "Tell the partner; the next night tries again."),
    ErrorCode(
        "CH182",
        "The partner's stream holds nothing of this connection",
        "Nothing to do: the partner may still be retrieving; charthouse network found shows its state.",
    ),
    ErrorCode(
        "CH183",
        "Resources that the partner marks as hidden or restricted were left out",
        "Nothing to do: the partner says that they are not to be shown.",
    ),
    ErrorCode(
        "CH184",
        "Resources about other patients than the person's were left out",
        "Tell the partner if it lasts: another person's Patient is linked to this one there.",
    ),
    ErrorCode(
        "CH185",
        "The search has not ended for longer than it may",
        "Nothing to do: it is begun anew; tell the partner if it lasts.",
    ),
    ErrorCode(
        "CH186",
        "The message is not signed as the partner signs",
        "Compare the webhook's secret and address: charthouse network set, or people set-verifier.",
        final=True,
    ),
    ErrorCode(
        "CH187",
        "The message was signed too long ago, or ahead of time",
        "Nothing to do: a replayed message is refused; if all are, a clock is wrong.",
        final=True,
    ),
    ErrorCode("CH188", "The message is no message of a partner", "Tell the partner.", final=True),
    ErrorCode(
        "CH189",
        "The message is about somebody who is not known here",
        "Nothing to do: nothing of it is kept.",
        final=True,
    ),
    ErrorCode("CH190", "The consent was taken back while the partner was asked", "Nothing to do."),
    ErrorCode(
        "CH650",
        "The person's identity is not verified",
        "They verify who they are in the app, or by the address of: charthouse people verify",
        final=True,
    ),
    ErrorCode(
        "CH651",
        "The verification of the person's identity is too old",
        "They verify who they are again; CHARTHOUSE_VERIFICATION_DAYS says how long one holds.",
        final=True,
    ),
    ErrorCode(
        "CH652",
        "The person has not agreed to the search for their records",
        "They agree in the app: the consent import-records.",
        final=True,
    ),
    ErrorCode(
        "CH653",
        "The session of the verification is known already, for another person or outcome",
        "One session verifies one person, once.",
        final=True,
    ),
    ErrorCode("CH654", "There is no such found provider", "List them: charthouse network found PERSON", final=True),
    ErrorCode(
        "CH655",
        "The found provider does not wait for a sign-in",
        "It is connected, or the partner lists it no more.",
        final=True,
    ),
    ErrorCode("CH656", "The verification cannot be used", "Correct what is named above.", final=True),
)
