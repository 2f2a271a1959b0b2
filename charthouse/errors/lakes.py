"""CH5xx: the lakes."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH501",
        "The lake cannot be opened",
        "If it is new, run: charthouse init; otherwise correct its address, or restore its catalog.",
    ),
    ErrorCode("CH502", "The lake is being written by another process", "Nothing to do: the task tries again."),
    ErrorCode(
        "CH503",
        "The tables were not published: they stay as they were",
        "Read the log of the publish task.",
        final=True,
    ),
    ErrorCode(
        "CH504",
        "The vault lacks what has been read",
        "Restore the vault that belongs to the state, or run: charthouse refetch --yes; the next night then asks for "
        "everything again.",
        final=True,
    ),
    ErrorCode(
        "CH505",
        "A statement failed in a lake",
        "Read the log, which names the place: free the disk, or restore a lost file from your backup.",
    ),
    ErrorCode(
        "CH506",
        "The tables are published, but a lake was not compacted",
        "Nothing to do: the next night compacts it; if that fails too, read the log of the publish task.",
    ),
    ErrorCode(
        "CH507",
        "The vault has no such resource",
        "Name it as its row does (resource_key): LINK/TYPE/ID, of a link that has not been deleted.",
    ),
    ErrorCode(
        "CH510",
        "The tables cannot be exported to there",
        "Name a folder outside of the home that is absent or empty.",
    ),
    ErrorCode(
        "CH511",
        "The records do not go back to that night",
        "Name a later one: they are kept for a week, and an erasure takes all before it. "
        "`charthouse sql \"FROM ducklake_snapshots('records')\"` lists them.",
        final=True,
    ),
    ErrorCode(
        "CH512",
        "There is no such night",
        "Name a run that `charthouse syncs list` shows, a day (2026-11-28) or an instant (2026-11-28T06:00).",
        final=True,
    ),
)
