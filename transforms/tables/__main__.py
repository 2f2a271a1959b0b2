"""`python -m transforms.tables`: write the published views, the dictionary and the page on US Core."""

from pathlib import Path

from transforms.tables import dictionary_markdown, must_support_markdown, view_files

ROOT = Path(__file__).parents[2]

if __name__ == "__main__":
    views = ROOT / "schemas" / "views"
    files = view_files()
    for stale in set(views.glob("*.json")) - {views / name for name in files}:
        stale.unlink()
    for name, text in files.items():
        (views / name).write_text(text, encoding="utf-8")
    (ROOT / "docs" / "dictionary.md").write_text(dictionary_markdown(), encoding="utf-8")
    (ROOT / "docs" / "must_support.md").write_text(must_support_markdown(), encoding="utf-8")
