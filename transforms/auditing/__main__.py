"""`python -m transforms.auditing`: write the suites of `expectations/` and the page that explains them."""

import sys
from pathlib import Path

from transforms.auditing.pages import written

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "expectations")
    for name, text in written().items():
        (folder / name).write_text(text, encoding="utf-8")
