"""`python -m transforms.duplicates`: write docs/duplicates.md."""

from pathlib import Path

from transforms.duplicates.page import page

if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "duplicates.md").write_text(page(), encoding="utf-8")
