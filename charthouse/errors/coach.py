"""CH680 to CH689: the coach's feed, and what is asked of it."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH680",
        "The person's records may not be used for this",
        "It takes Premium and the consent `personalisation`, both of which are off at first: "
        "charthouse people edit PERSON --premium; charthouse consents grant PERSON personalisation",
        final=True,
    ),
    ErrorCode("CH681", "The coach has no such function", "See charthouse coach --help.", final=True),
    ErrorCode(
        "CH682",
        "What is asked cannot be used",
        "A name has 1 to 200 characters and no control characters; a date is 2024, 2024-03 or 2024-03-05.",
        final=True,
    ),
)
