"""docs/troubleshooting.md: each cause that keeps records from coming, its codes, what people are told, and the tests.

python -m tests.docs.troubleshooting
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from charthouse.linking.refusals import message_for
from charthouse.linking.troubleshooting import causes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
_HEAD = """# Why no records come

`charthouse explain LINK` looks at each cause of the link's route, in this order, and ends with the one thing to do;
`GET /links/{link_id}/explanation` is the same for the app. It asks nobody: it looks at what the state knows. Written by
`python -m tests.docs.troubleshooting`.

| cause | looked at | found as | what people read | what they can do | tests |
|---|---|---|---|---|---|
"""
_FOUND: Final = "linking/test_troubleshooting.py::test_a_cause_is_found_and_told"
SHOWN_BY: Final = {
    "age": (_FOUND, "linking/test_sign_in.py::test_a_minors_records_are_disconnected_and_removed"),
    "account": (_FOUND, "linking/test_people.py::test_each_reason_why_not_has_its_code_and_a_text_of_its_own"),
    "provider": (_FOUND, "linking/test_providers.py::test_who_retires_ends_its_links_and_nobody_starts_another"),
    "verification": (
        "network/test_search.py::test_nobody_is_searched_for_without_a_verified_identity_and_their_consent",
    ),
    "phone": ("phone/test_nights.py::test_a_phone_that_uploads_nothing_is_told_where_to_look",),
    "credentials": (_FOUND, "linking/test_sign_in.py::test_answers_without_a_code_that_works"),
    "details": (_FOUND, "linking/test_sign_in.py::test_somebody_elses_records_are_not_kept"),
    "expiry": (_FOUND, "browser/test_link.py::test_it_is_told_when_it_has_ended"),
    "end": (_FOUND, "linking/test_watch.py::test_access_is_taken_back_at_the_provider_and_here"),
    "silence": (_FOUND, "linking/test_watch.py::test_the_reason_is_what_the_last_night_met"),
    "waiting": (_FOUND, "linking/test_watch.py::test_a_link_that_is_not_confirmed_within_a_day_is_told_why_once"),
    "permissions": (_FOUND, "api/test_signing_in.py::test_what_the_person_kept_back_is_said"),
}


def page() -> str:
    """The page, as it should stand."""
    rows = []
    for cause in causes():
        tests = "<br>".join(f"`{name}`" for name in SHOWN_BY[cause.id])
        asks = cause.asks if len(cause.routes) > 1 else f"{cause.asks} (route {', '.join(cause.routes)})"
        for reason in cause.reasons:
            told = message_for(reason)
            rows.append(f"| {cause.id} | {asks} | `{reason}` | {told.title} | {told.action} | {tests} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
