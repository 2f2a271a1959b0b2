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
)
