"""Whether a Patient is the account's own person: what is tolerated, and everything else that is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charthouse.errors import LinkError
from charthouse.linking.identity import HumanName, Identity, parse_identity, read_identity
from charthouse.linking.matching import matches

BORN = "1980-02-29"


def name(given: str, family: str, **more: Any) -> dict[str, Any]:
    """A name in parts; given names are divided by `+`."""
    return {"given": given.split("+"), "family": family, **more}


def reason(account: Any, provider: Any, born: str = BORN, **patient: Any) -> str:
    said = parse_identity({"names": account if isinstance(account, list) else [account], "birth_date": BORN})
    names = provider if isinstance(provider, list) else [provider]
    names = [{"text": one} if isinstance(one, str) else one for one in names]
    return matches(said, {"resourceType": "Patient", "name": names, "birthDate": born, **patient}).reason


SAME = {
    "case": (name("Jane", "Doe"), name("JANE", "dOE")),
    "accents": (name("José", "Núñez"), name("Jose", "Nunez")),
    "an accent that is a sign of its own": (name("José", "Núñez"), name("José", "Núñez")),
    "umlauts left out": (name("Jürgen", "Groß"), name("JURGEN", "GROSS")),
    "umlauts written out": (name("Jürgen", "Müller"), name("Juergen", "Mueller")),
    "letters that are no accents": (name("Søren", "Ørsted"), name("Soren", "Orsted")),
    "apostrophes": (name("D’Angelo", "O'Brien"), name("DAngelo", "O`BRIEN")),
    "an apostrophe as a space": (name("Ann", "O'Brien"), name("Ann", "O Brien")),
    "hyphens": (name("Mary-Ann", "Smith-Jones"), name("Mary Ann", "SMITH JONES")),
    "a hyphen of another kind": (name("Mary‐Ann", "Smith–Jones"), name("Maryann", "Smithjones")),
    "hyphen and middle name": (name("Mary-Ann+Louise", "Doe"), name("Maryann", "Doe")),
    "spaces": (name(" Jane ", "de  la Cruz"), name("Jane", "DELACRUZ")),
    "middle name missing there": (name("Anna+Maria", "Doe"), name("Anna", "Doe")),
    "middle name missing here": (name("Anna", "Doe"), name("Anna+Maria", "Doe")),
    "middle name as an initial": (name("Anna+Maria", "Doe"), name("Anna+M.", "Doe")),
    "middle name in the same text": (name("Anna Maria", "Doe"), name("Anna+Maria", "Doe")),
    "given names in another order": (name("Anna+Maria", "Doe"), name("Maria+Anna", "Doe")),
    "family name first": (name("Wei", "Zhang"), name("Zhang", "Wei")),
    "two family names": (name("Juan", "García López"), name("Juan", "Garcia-Lopez")),
    "the first family name filed as a middle name": (name("Juan", "García López"), name("Juan+Garcia", "Lopez")),
    "suffix": (name("John", "Smith", suffix=["Jr."]), name("John", "Smith")),
    "suffix in the family name": (name("John", "Smith", suffix=["III"]), name("John", "Smith III")),
    "prefix in the given name": (name("Jane", "Doe"), name("Dr. Jane", "Doe")),
    "text": (name("Jane", "Doe"), "Jane Doe"),
    "text, family name first": (name("Jane", "Doe"), "DOE, JANE Q"),
    "text with titles": (name("Jane", "Doe"), "Dr. Jane Q. Doe, MD"),
    "text with a suffix": (name("John", "Smith"), "Smith, John, Jr."),
    "text on both sides": ({"text": "Jane Doe"}, "Doe, Jane"),
    "text, two family names": (name("Juan", "García López"), "Juan García López"),
    "maiden name": (name("Ann", "Doe"), [name("Ann", "Smith"), name("Ann", "Doe", use="maiden")]),
    "maiden name alone": (name("Ann", "Doe"), [name("Ann", "Smith"), {"use": "maiden", "family": "Doe"}]),
    "maiden name alone, as text too": (
        name("Ann", "Doe"),
        [name("Ann", "Smith"), {"use": "maiden", "family": "Doe", "text": "DOE"}],
    ),
    "old name": (name("Ann", "Doe"), [name("Ann", "Smith", use="official"), name("Ann", "Doe", use="old")]),
    "several names here": ([name("Ann", "Smith"), name("Ann", "Doe")], name("Ann", "Doe")),
    "one name only": ({"given": ["Suharto"]}, {"family": "SUHARTO"}),
    "one name, and a word for none": ({"family": "Suharto"}, name("FNU", "Suharto")),
    "a word for no middle name": (name("Jane", "Doe"), name("Jane+NMN", "Doe")),
    "Cyrillic": (name("Фёдор", "Иванов"), name("ФЕДОР", "ИВАНОВ")),
    "Han": (name("伟", "王"), name("伟", "王")),
    "Han without a space": (name("伟", "王"), "王伟"),
    "Hangul in another form": (name("민준", "김"), name("민준", "김")),
    "Arabic without vowels": (name("مُحَمَّد", "علي"), name("محمد", "علي")),
    "full-width letters": (name("Jane", "Doe"), name("Ｊａｎｅ", "Ｄｏｅ")),
    "an invisible sign": (name("Jane", "Doe"), name("Ja\u200bne", "Doe")),
}

OTHERS = {
    "another given name": (name("Jane", "Doe"), name("John", "Doe")),
    "twins": (name("Maria+Fernanda", "Doe"), name("Maria+José", "Doe")),
    "twins with one hyphen": (name("Jean-Pierre", "Doe"), name("Jean-Paul", "Doe")),
    "half of a double name": (name("Jean-Pierre", "Doe"), name("Jean", "Doe")),
    "the middle name alone": (name("Anna+Maria", "Doe"), name("Maria", "Doe")),
    "a nickname": (name("William", "Doe"), name("Bill", "Doe")),
    "a name marked as a nickname": (name("Bill", "Doe"), [name("Wilhelm", "Doe"), name("Bill", "Doe", use="nickname")]),
    "an initial": (name("Jane", "Doe"), name("J", "Doe")),
    "an initial on both sides": (name("J.", "Doe"), name("J", "Doe")),
    "an initial, then a middle name": (name("Jane+Robin", "Doe"), name("J+Robin", "Doe")),
    "another middle initial": (name("Anna+Maria", "Doe"), name("Anna+L", "Doe")),
    "an initial that would complete a name": (name("Anne", "Doe"), name("Ann+E", "Doe")),
    "a beginning": (name("Alex", "Doe"), name("Alexander", "Doe")),
    "another family name": (name("Jane", "Doe"), name("Jane", "Roe")),
    "half of a family name": (name("Jane", "Smith-Jones"), name("Jane", "Smith")),
    "one of two family names": (name("Juan", "García López"), name("Juan", "García")),
    "an unmarked married name": (name("Ann", "Doe"), name("Ann", "Smith")),
    "a particle left out": (name("Ann", "de la Cruz"), name("Ann", "Cruz")),
    "father and son": (name("John", "Smith", suffix=["Jr."]), name("John", "Smith", suffix=["Sr."])),
    "another generation": (name("John", "Smith II"), name("John", "Smith III")),
    "no given name": (name("Jane", "Doe"), {"family": "Doe"}),
    "no family name": (name("Jane", "Doe"), {"given": ["Jane"]}),
    "a newborn's name": (name("Jane", "Doe"), name("Babygirl", "Doe")),
    "a maiden name of somebody else": (name("Ann", "Doe"), [name("Eva", "Smith"), {"use": "maiden", "family": "Doe"}]),
    "a slip of the pen": (name("Jane", "Doe"), name("Jnae", "Doe")),
    "sounds alike": (name("Catherine", "Doe"), name("Katherine", "Doe")),
    "another letter of Cyrillic": (name("Майя", "Иванова"), name("Маия", "Иванова")),
    "another sign of Kana": (name("がく", "山田"), name("かく", "山田")),
    "another script": (name("Фёдор", "Иванов"), name("Fedor", "Ivanov")),
    "looks alike": (name("Анна", "Doe"), name("Aннa", "Doe")),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_written_differently_is_the_same_person(case: str) -> None:
    here, there = SAME[case]
    assert reason(here, there) == "matched"


@pytest.mark.parametrize("case", OTHERS)
def test_nothing_else_is(case: str) -> None:
    here, there = OTHERS[case]
    assert reason(here, there) == "name_differs"
    if not isinstance(there, list) and not isinstance(here, list):
        assert reason(there, here) == "name_differs"


@pytest.mark.parametrize(
    ("born", "why"),
    [
        ("1980-02-28", "birth_date_differs"),
        ("1980-02", "birth_date_partial"),
        ("1980", "birth_date_partial"),
        ("", "birth_date_missing"),
        (None, "birth_date_missing"),
        ("29.02.1980", "birth_date_missing"),
        ("1981-02-29", "birth_date_missing"),
        (19800229, "birth_date_missing"),
    ],
)
def test_the_birth_date_is_the_same_whole_date(born: Any, why: str) -> None:
    assert reason(name("Jane", "Doe"), name("Jane", "Doe"), born=born) == why


@pytest.mark.parametrize(
    "names",
    [
        None,
        [],
        "Jane Doe",
        [None],
        [{"extension": [{"url": "x"}]}],
        [{"use": "anonymous", "text": "Jane Doe"}],
        [{"text": " "}],
        [{"family": "LNU", "given": ["FNU"]}],
        [{"family": "?", "given": ["-"]}],
    ],
)
def test_a_missing_name_has_its_own_reason(names: Any) -> None:
    said = parse_identity({"names": [name("Jane", "Doe")], "birth_date": BORN})
    assert matches(said, {"resourceType": "Patient", "name": names, "birthDate": BORN}).reason == "name_missing"


@pytest.mark.parametrize("written", ["FNU", "?", "🙂", "\u200b", "000"])
def test_two_people_without_a_name_are_not_one(written: str) -> None:
    nobody = name(written, written)
    assert reason(nobody, nobody) == "name_missing"
    assert reason(nobody, name("Jane", "Doe")) == "name_differs"


def test_a_nickname_is_none_of_the_accounts_names_either() -> None:
    bill = name("Bill", "Doe", use="nickname")
    assert reason([name("William", "Doe"), bill], name("Bill", "Doe")) == "name_differs"
    assert reason([name("William", "Doe", use="official"), bill], name("William", "Doe")) == "matched"
    with pytest.raises(LinkError, match="CH618"):
        parse_identity({"names": [bill], "birth_date": BORN})


def test_the_dead_and_others_than_patients_never_match() -> None:
    jane = name("Jane", "Doe")
    assert reason(jane, jane, deceasedBoolean=True) == "deceased"
    assert reason(jane, jane, deceasedDateTime="2020-01-01") == "deceased"
    assert reason(jane, jane, deceasedBoolean=False) == "matched"
    assert reason(jane, jane, resourceType="RelatedPerson") == "not_a_patient"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["given", "family", "text", "use", "suffix", "name", "birthDate", "period"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON, JSON)
def test_whatever_a_provider_sends_gets_a_verdict(names: Any, born: Any) -> None:
    said = Identity(
        (HumanName("Doe", ("Jane",)),), parse_identity({"names": [{"text": "x y"}], "birth_date": BORN}).birth_date
    )
    assert not matches(said, {"resourceType": "Patient", "name": names, "birthDate": born}).matched


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_a_person_matches_their_own_name_in_any_script(first: str, last: str) -> None:
    """Unless nothing of it is a letter, or the given name is an initial: then it is nobody's."""
    said = Identity(
        (HumanName(last, (first,)),), parse_identity({"names": [{"text": "x"}], "birth_date": BORN}).birth_date
    )
    patient = {"resourceType": "Patient", "name": [{"given": [first], "family": last}], "birthDate": BORN}
    assert matches(said, patient).reason in ("matched", "name_differs", "name_missing")
    if len(first) > 3 and first.isascii() and first.isalpha() and last.isascii() and last.isalpha() and len(last) > 3:
        assert matches(said, patient).matched


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"names": []},
        {"names": [{}], "birth_date": BORN},
        {"names": [{"family": 7}], "birth_date": BORN},
        {"names": [name("Jane\r\nBcc: x", "Doe")], "birth_date": BORN},
        {"names": [name("J" * 201, "Doe")], "birth_date": BORN},
        {"names": [name("Jane", "Doe")] * 11, "birth_date": BORN},
        {"names": [name("Jane", "Doe")], "birth_date": "1980"},
        {"names": [name("Jane", "Doe")], "birth_date": "1981-02-29"},
        {"names": [name("Jane", "Doe")], "birth_date": "2999-01-01"},
        {"names": [name("Jane", "Doe")], "birth_date": BORN, "birthDate": BORN},
    ],
)
def test_an_identity_that_cannot_be_used_is_refused_without_quoting_it(said: dict[str, Any]) -> None:
    with pytest.raises(LinkError) as refused:
        read_identity(json.dumps(said))
    assert refused.value.code == "CH618"
    assert not any(word in str(refused.value) for word in ("Jane", "Doe", "1980-02", "2999"))


def test_no_repr_shows_who_somebody_is() -> None:
    said = parse_identity({"name": {"given": "Canary", "family": "Canary"}, "birthDate": BORN})
    assert "Canary" not in repr(said) + repr(said.names) + str(said)
    assert "1980" not in repr(said)
