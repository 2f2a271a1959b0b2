"""Names of files that come from records, made harmless on every system, and unique whatever the case of letters.

No path, no control or direction marks, no name of a Windows device, no ending that a browser or a shell would run.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 80
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)", re.IGNORECASE)
_KEPT: Final = frozenset("LMNPZ")  # letters, their marks, digits, signs, spaces
_SHARP: Final = re.compile(r"""[<>:"/\\|?*%&#'`$!{}\[\]=+~^;,@]""")

ENDINGS: Final = {
    "application/pdf": ".pdf",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "application/json": ".json",
    "application/fhir+json": ".json",
    "application/dicom": ".dcm",
    "application/zip": ".zip.bin",
    "application/msword": ".doc.bin",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "audio/basic": ".au",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "image/webp": ".webp",
    "text/csv": ".csv.txt",
    "text/markdown": ".md.txt",
    "text/plain": ".txt",
    "text/html": ".html.txt",
    "application/xhtml+xml": ".html.txt",
    "application/xml": ".xml.txt",
    "text/xml": ".xml.txt",
    "application/hl7-v3+xml": ".xml.txt",
    "application/cda+xml": ".xml.txt",
    "image/svg+xml": ".svg.txt",
    "video/mp4": ".mp4",
    "video/mpeg": ".mpg",
    "video/webm": ".webm",
}
"""By the declared type alone. What may hold scripts ends so that it is shown as text; what is not here is `.bin`."""


def ending(content_type: str | None) -> str:
    """The ending for a declared content type."""
    return ENDINGS.get((content_type or "").partition(";")[0].strip().lower(), ".bin")


def media_type(content_type: str | None) -> str:
    """The declared type, if it is one of those that have an ending."""
    declared = (content_type or "").partition(";")[0].strip().lower()
    return declared if declared in ENDINGS else "application/octet-stream"


def safe_stem(title: str | None, otherwise: str) -> str:
    """A name without ending, from what a record calls it; `otherwise` where nothing usable is left of that."""
    text = unicodedata.normalize("NFC", (title or "")[:1000])
    text = "".join(sign if unicodedata.category(sign)[0] in _KEPT else " " for sign in text)
    text = _SHARP.sub("_", text).replace("\u2028", " ").replace("\u2029", " ")
    text = re.sub(r"\s+", " ", text).strip(" .-_")
    text = re.sub(r"\.", "_", text)
    while len(text.encode()) > LONGEST:
        text = text[:-1]
    text = text.strip(" .-_")
    if not text:
        return otherwise
    return f"_{text}" if _DEVICES.fullmatch(text.partition(" ")[0]) else text


class Names:
    """Gives each name once in its folder; another of the same name, in any case, is numbered."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def take(self, folder: str, stem: str, suffix: str) -> str:
        """A path that nobody has."""
        number = self._used.get(self._key(folder, stem, suffix), 0)
        while True:
            number += 1
            path = f"{folder}/{stem}{suffix}" if number == 1 else f"{folder}/{stem} ({number}){suffix}"
            key = path.casefold()
            if number == 1 or key not in self._used:
                self._used[self._key(folder, stem, suffix)] = number
                if number > 1:
                    self._used[key] = 1
                return path

    @staticmethod
    def _key(folder: str, stem: str, suffix: str) -> str:
        return unicodedata.normalize("NFKC", f"{folder}/{stem}{suffix}").casefold()
