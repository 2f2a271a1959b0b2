"""CH1xx: fetching."""

from transforms.errors import ErrorCode

CODES = (
    ErrorCode(
        "CH101",
        "The provider cannot be reached",
        "The next night tries again; if it stays so, check its address and your network: charthouse providers check.",
    ),
    ErrorCode("CH102", "The provider refused the token (401)", "The person signs in at the provider again."),
    ErrorCode(
        "CH103",
        "The provider does not permit this type (403)",
        "The person may grant it when linking again.",
    ),
    ErrorCode("CH104", "The provider does not know this address (404)", "Check the endpoint of the provider."),
    ErrorCode(
        "CH105",
        "The provider answered with something that is no JSON",
        "Check the endpoint of the provider.",
    ),
    ErrorCode("CH106", "A page holds invalid JSON", "Tell the provider; the next night tries again."),
    ErrorCode("CH107", "A page is not a searchset Bundle", "Tell the provider; the next night tries again."),
    ErrorCode("CH108", "The pages run in a loop", "Tell the provider; what came before the loop is kept."),
    ErrorCode("CH109", "The provider kept answering 429 or 5xx", "Nothing to do: the next night tries again."),
    ErrorCode("CH110", "There were more pages than permitted", "Raise CHARTHOUSE_MAX_PAGES if they are genuine."),
    ErrorCode("CH111", "The provider refused the search (4xx)", "Check what its /metadata declares."),
    ErrorCode("CH112", "The CapabilityStatement cannot be used", "Check the endpoint of the provider."),
    ErrorCode("CH113", "The access token could not be renewed", "The person signs in at the provider again."),
    ErrorCode(
        "CH114",
        "A next link leads to another host",
        "Tell the provider; tokens are never sent elsewhere.",
    ),
    ErrorCode("CH115", "The provider sent a warning with the results", "Nothing to do: it is kept as a remark."),
    ErrorCode("CH116", "A referenced resource could not be read", "Nothing to do: the next night tries again."),
    ErrorCode("CH117", "The batch was not worked to its end", "Read its task logs; the next night tries again."),
    ErrorCode("CH118", "Too many links failed", "Run: charthouse status; the threshold is a setting.", final=True),
    ErrorCode("CH119", "A page is empty although more was announced", "Tell the provider; the next night tries again."),
    ErrorCode("CH120", "An answer is larger than permitted", "Tell the provider, or lower CHARTHOUSE_PAGE_SIZE."),
    ErrorCode(
        "CH121",
        "The provider redirects to another host",
        "Check the endpoint of the provider; tokens are never sent elsewhere.",
    ),
    ErrorCode("CH122", "The batch is gone: its run has ended", "Trigger sync_records again.", final=True),
    ErrorCode(
        "CH123",
        "The provider's token endpoint refuses us",
        "Check the endpoint of the provider and the client id; the people's links stay as they are.",
    ),
    ErrorCode(
        "CH124",
        "The time for fetching ran out",
        "Nothing to do: the next night goes on; CHARTHOUSE_FETCH_TIME_MAX permits more.",
    ),
    ErrorCode("CH125", "An entry of a page holds no resource", "Tell the provider; the next night tries again."),
    ErrorCode(
        "CH126",
        "The fetch of a link broke",
        "It is a fault of Charthouse: report it with the line of the task log that names it.",
    ),
    ErrorCode(
        "CH130",
        "There is no FHIR server at this address",
        "Name its FHIR base: the address whose /metadata is a CapabilityStatement.",
    ),
    ErrorCode("CH131", "The server speaks another version of FHIR", "Name the address of its R4 (4.0.1) server."),
    ErrorCode(
        "CH132",
        "The server lets nobody read without a token",
        "Give one in a file (TOKEN_FILE=FILE), or let people sign in: charthouse providers add, charthouse link.",
    ),
    ErrorCode(
        "CH133",
        "The server does not take the token",
        "Put a token that it takes now, and that reads these patients, into the file.",
    ),
    ErrorCode("CH134", "The server does not know all of the patients", "Correct the ids in PATIENTS."),
    ErrorCode(
        "CH135",
        "The server does not list its patients",
        "Name them by their ids: PATIENTS=id,id or PATIENTS=@FILE.",
    ),
    ErrorCode("CH136", "The server has no patients", "Put records into it first, or name another server."),
    ErrorCode(
        "CH137",
        "PATIENTS cannot be understood",
        "Give ids with commas between them, @FILE with one a line, or all.",
    ),
    ErrorCode(
        "CH138",
        "The token cannot be used",
        "Put the access token alone into the file, or the token endpoint's JSON answer.",
    ),
    ErrorCode("CH139", "The server does not offer what a night needs", "Ask its operator for read access to Patient."),
    ErrorCode(
        "CH140",
        "The provider's host has failed for so long that it is left alone",
        "Nothing to do: single probes ask it, and the next night; CHARTHOUSE_HOST_PATIENCE waits for longer.",
    ),
    ErrorCode(
        "CH141",
        "The address leads into a private network",
        "If the provider is there, permit it: CHARTHOUSE_PRIVATE_ADDRESSES=10.1.0.0/16 (or loopback, or any).",
    ),
    ErrorCode(
        "CH164",
        "A document that a record shows is not to be had",
        "Nothing to do: it is missing, or larger than CHARTHOUSE_ATTACHMENT_BYTES; it is asked for again in a week.",
    ),
)
