"""`python -m transforms.tables [FILE]`: write the data dictionary."""

import sys
from pathlib import Path

from transforms.tables import dictionary_markdown

if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/dictionary.md")
    target.write_text(dictionary_markdown(), encoding="utf-8")
