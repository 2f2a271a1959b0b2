"""The content of an attachment as a Binary resource (FHIR R4 §2.24, §2.36 Binary), whichever way a server gives it.

Asked for FHIR's JSON, some servers give the resource and others the bytes themselves. The bytes are then put into a
resource, as base64, so that they are kept and exported as all else is.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

import msgspec

from charthouse.errors import FetchError
from charthouse.partners.http import Answer
from transforms.bundles import resource_stub

if TYPE_CHECKING:
    from typing import Any

BINARY: Final = "Binary"
UNTOLD: Final = "application/octet-stream"
_BOM: Final = b"\xef\xbb\xbf"
_PAGE: Final = re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_MEDIA: Final = re.compile(r"[\w.+-]+/[\w.+-]+(?:\s*;.{0,100})?")


def as_resource(answer: Answer, name: str, label: str) -> Answer:
    """The answer to a read of the Binary of that id, as a resource.

    Raises:
        FetchError: CH105 for a web page, as servers send it that want a sign-in; CH111 for an OperationOutcome.
    """
    text = answer.body.removeprefix(_BOM)
    kind = resource_stub(text)[0] if text.lstrip()[:1] == b"{" else None
    if kind == BINARY:
        return answer
    if kind == "OperationOutcome":
        raise FetchError("CH111", where=label)
    if not text or _PAGE.match(text):
        raise FetchError("CH105", where=label)
    media = answer.media if answer.media is not None and _MEDIA.fullmatch(answer.media) else UNTOLD
    made: dict[str, Any] = {
        "resourceType": BINARY,
        "id": name,
        "contentType": media,
        "data": base64.b64encode(answer.body).decode(),
    }
    return Answer(msgspec.json.encode(made))
