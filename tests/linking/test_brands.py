"""Lists of brands: read from files and addresses, awkward and hostile ones too; and people who look for a provider."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.errors import LinkError, StateError
from charthouse.linking import links, people, providers
from charthouse.linking.brands import import_bundle, import_own_bundle
from charthouse.linking.bundles import cleaned, read_bundle
from charthouse.linking.directory import search
from charthouse.linking.registrations import set_registration
from charthouse.state import session
from charthouse.state.models import Provider
from tests.linking.lists import at, brand, bundle, endpoint, portal, region, write
from tests.partners.odd_server import Asked, OddServer, Reply, as_json

if TYPE_CHECKING:
    from pathlib import Path

    from charthouse.linking.directory import Found


def find(text: str, **more: Any) -> list[Found]:
    with session(read_only=True) as state:
        return search(state, text, **more)


def names(text: str, **more: Any) -> list[str]:
    return [found.brand for found in find(text, **more)]


def known() -> dict[str, str]:
    with session(read_only=True) as state:
        return {view.slug: view.fhir_base_url for view in providers.list_providers(state) if view.slug != "clinic"}


def test_a_list_becomes_brands_portals_and_providers(home: Path, tmp_path: Path) -> None:
    with session() as state:
        set_registration(state, "vendor", "client-1")
    report = import_bundle(write(tmp_path, region()), registration="vendor")
    counted = (report.brands, report.portals, report.providers_new, report.other_versions, report.updated)
    assert counted == (4, 4, 4, 1, "2026-01-01T00:00:00Z")
    assert known() == {
        "mercy": "https://ehr.example/Mercy/api/FHIR/R4",
        "mercy-medical-center": "https://chart.example/fhir/r4",
        "nunez-childrens-hospital": "https://a.example/fhir",
        **{slug: "https://k.example/fhir" for slug in known() if slug.startswith("nunez-childrens-hospital-")},
    }
    with session(read_only=True) as state:
        provider = providers.get_provider(state, "mercy")
    assert (provider.registration, provider.portal_url, provider.region) == ("vendor", "https://my.mercy.example", "US")
    again = import_bundle(write(tmp_path, region()))
    assert again.unchanged
    assert again.updated == report.updated
    told = import_bundle(write(tmp_path, region()), again=True)
    assert (told.providers_new, told.providers_known) == (0, 4)


def test_people_find_their_provider_by_name_and_place(home: Path, tmp_path: Path) -> None:
    import_bundle(write(tmp_path, region()))
    assert names("mercy")[0] == "Mercy"
    assert set(names("mercy")) == {"Mercy", "Mercy Clinic Heart & Vascular", "Mercy Medical Center"}
    for text in ("mercy st louis", "Mercy St. Louis", "mercy saint louis", "MERCY, Saint-Louis", "louis mercy st",
                 "mercy missouri", "mercy mo", "merc misso"):  # fmt: skip
        assert names(text) == ["Mercy", "Mercy Clinic Heart & Vascular"], text
    assert names("63141") == names("mercy 63141") == names("mercy", place="63141") == ["Mercy"]
    assert names("mercy", place="Springfield MO") == ["Mercy"]
    assert names("mercy", place="Springfield KS") == []  # a place of the one and the state of another are no place
    assert names("", place="maryland") == ["Mercy Medical Center"]
    assert names("sisters") == ["Mercy"]
    assert names("mymercy") == ["Mercy", "Mercy Clinic Heart & Vascular"]
    assert names("mercymedical.example") == ["Mercy Medical Center"]
    assert names("nunez childrens") == names("Núñez Children's") == ["Núñez Children’s Hospital"] * 2
    assert [found.portal for found in find("nunez")] == ["Grown-ups", "Kids"]
    assert names("heart and vascular") == ["Mercy Clinic Heart & Vascular"]
    assert names("baltimroe") == names("mercy baltimor") == ["Mercy Medical Center"]
    assert names("mercy", region="FR") == names("percy") == names("zzz") == []
    (found,) = find("mercy springfield")
    assert found.places[0] == "Springfield, MO"
    assert (found.portal, found.website, found.provider) == ("MyMercy", "https://www.mercy.example/home", "mercy")


def test_pages_of_an_answer_follow_each_other(home: Path, tmp_path: Path) -> None:
    many = [brand(f"b{n}", "Same Name", portal("P", None, f"e{n}"), address=[at("Reno", "NV")]) for n in range(7)]
    import_bundle(write(tmp_path, bundle(*many, *(endpoint(f"e{n}", f"https://e{n}.example/r4") for n in range(7)))))
    seen: list[str | None] = []
    after = None
    while page := find("same name", limit=3, after=after):
        seen += [found.provider for found in page]
        after = page[-1].cursor
    assert len(seen) == len(set(seen)) == 7
    for wrong in ("x", "", "WzFd", "bnVsbA"):
        with pytest.raises(StateError, match="CH607"):
            find("same", after=wrong)


def test_what_an_operator_adds_closes_or_retires_shows(home: Path, tmp_path: Path) -> None:
    import_bundle(write(tmp_path, region()), active=False)
    assert [(found.provider, found.linkable) for found in find("mercy medical")] == [("mercy-medical-center", False)]
    with session() as state:
        providers.edit_provider(state, "mercy-medical-center", active=True)
        providers.add_provider(state, slug="own", name="Mercy of Ours", fhir_base_url="https://own.example/fhir")
    assert [found.provider for found in find("mercy") if found.linkable] == ["mercy-medical-center", "own"]
    import_bundle(write(tmp_path, region()), again=True)  # opens nothing that is closed
    assert [found.provider for found in find("mercy") if found.linkable] == ["mercy-medical-center", "own"]
    with session() as state:
        providers.retire_provider(state, "mercy-medical-center")
    assert names("mercy medical") == []


def test_an_endpoint_is_one_provider_however_it_is_written(home: Path, tmp_path: Path) -> None:
    with session() as state:
        providers.add_provider(state, slug="mine", name="Mine", fhir_base_url="https://fhir.example/R4/")
    said = bundle(
        brand("a", "A", portal("P", None, "one")),
        brand("b", "B", portal("P", None, "two", "three")),
        endpoint("one", "https://fhir.example/R4"),
        endpoint("two", "HTTPS://FHIR.example:443/r4//"),
        endpoint("three", "https://fhir.example/R4/other"),
    )
    report = import_bundle(write(tmp_path, said))
    assert (report.providers_new, report.providers_known) == (1, 1)
    assert {found.provider for found in find("a")} == {"mine"}


def test_what_vanishes_from_a_list_keeps_its_links(home: Path, tmp_path: Path) -> None:
    import_bundle(write(tmp_path, region()))
    with session() as state:
        key = people.create_person(state).person_key
        link = links.start_link(state, key, "mercy-medical-center", "direct").id
    less = region()
    less["entry"] = [one for one in less["entry"] if one["resource"]["id"] not in ("medical", "chart")]
    report = import_bundle(write(tmp_path, less))
    assert report.vanished == ("mercy-medical-center",)
    with session(read_only=True) as state:
        assert links.get_link(state, link).status == "pending"
        assert providers.get_provider(state, "mercy-medical-center").active


def test_the_shapes_of_older_lists_are_read(home: Path, tmp_path: Path) -> None:
    said = bundle(
        # organizations without portals, and no version said
        brand("plain", "Plain Practice", endpoint=[{"reference": "Endpoint/e1"}], address=[at("Ames", "IA")]),
        endpoint("e1", "https://e1.example/r4/Abc", None),
        # endpoints that only name who manages them, or nobody
        brand("managed", "Managed Practice"),
        endpoint("e2", "https://e2.example/r4", managingOrganization={"reference": "Organization/managed"}),
        endpoint("e3", "https://e3.example/r4", name="Lonely Practice"),
        endpoint("e4", "https://e4.example/dstu2", None, name="Old Practice"),
        # a reference by its full address, and a portal that leaves its endpoint to the organization
        brand("full", "Full Practice", portal("Door", "https://door.example"), endpoint={"reference": "https://lists.example.org/Endpoint/e5"}),
        endpoint("e5", "https://e5.example/r4", "R4"),
        timestamp=None,
        meta={"lastUpdated": "2025-05-05T00:00:00Z"},
    )  # fmt: skip
    report = import_bundle(write(tmp_path, gzip.compress(json.dumps(said).encode()), "brands.json.gz"))
    assert report.updated == "2025-05-05T00:00:00Z"
    assert {(found.brand, found.portal, found.provider) for found in find("practice")} == {
        ("Plain Practice", "", "plain-practice"),
        ("Managed Practice", "", "managed-practice"),
        ("Lonely Practice", "", "lonely-practice"),
        ("Full Practice", "Door", "full-practice"),
    }
    assert report.other_versions == 1
    assert report.remarks == {"fhir_version_not_said": 1}


def test_two_brands_of_one_name_are_told_apart(home: Path, tmp_path: Path) -> None:
    said = bundle(
        brand("n", "Community Hospital", portal("North", "https://n.example", "n"), address=[at("Ames", "IA")]),
        brand("s", "Community Hospital", portal("South", "https://s.example", "s"), address=[at("Lima", "OH")]),
        endpoint("n", "https://n.example/r4"),
        endpoint("s", "https://s.example/r4"),
    )
    import_bundle(write(tmp_path, said))
    found = find("community hospital")
    assert {(one.portal, one.places) for one in found} == {("North", ("Ames, IA",)), ("South", ("Lima, OH",))}
    assert len({one.provider for one in found}) == 2


def test_a_hostile_list_gives_remarks_and_its_rest_is_read(home: Path, tmp_path: Path) -> None:
    said = bundle(
        brand("fine", "Fine", portal("P", "https://p.example", "fine")),
        endpoint("fine", "https://fine.example/r4"),
        brand("script", "Script", portal("P", "javascript:alert(1)", "js", "fine"), site=None,
              telecom=[{"system": "url", "value": "data:text/html,x"}]),
        endpoint("js", "javascript:alert(1)"),
        endpoint("login", "https://user:secret@login.example/r4", name="Login"),
        endpoint("clear", "http://clear.example/r4", name="Clear"),
        endpoint("bracket", "https://[br.example/r4", name="Bracket"),
        endpoint("query", "https://q.example/r4?x=1", name="Query"),
        endpoint("off", "https://off.example/r4", name="Off", status="off"),
        endpoint("mail", "https://mail.example/r4", name="Mail", connectionType={"code": "direct-project"}),
        brand("crlf", "Break\r\nBcc: all@example.org\x1b[31m\u202eevil", portal("P", None, "fine")),
        brand("long", "L" * 1_000_000, portal("P", None, "fine")),
        brand("one", "One", partOf={"reference": "Organization/two"}),
        brand("two", "Two", partOf={"reference": "Organization/one"}),
        brand("self", "Self", partOf={"reference": "Organization/self"}),
        brand("gone", "Gone", portal("P", None, "nowhere")),
        brand("closed", "Closed", active=False),
        brand("nameless", None, _name={"extension": []}),
        brand("odd", ["Odd"], extension="x", alias={"a": 1}, address=7, telecom=[None], type="x", identifier=[[]]),
        {"resourceType": "Patient", "id": "p"},
    )  # fmt: skip
    said["entry"] += [None, 7, {}, {"resource": []}, {"resource": {"resourceType": "Endpoint"}}, said["entry"][0]]
    report = import_bundle(write(tmp_path, said))
    assert report.providers_new == 1
    assert report.remarks == {
        "brand_not_active": 1,
        "brand_without_name": 2,
        "endpoint_address_unusable": 4,
        "endpoint_is_no_fhir_rest": 1,
        "endpoint_not_active": 1,
        "endpoint_not_encrypted": 1,
        "endpoint_not_in_the_list": 1,
        "entry_without_id": 1,
        "entry_without_resource": 4,
        "other_resource": 1,
        "part_of_itself": 3,
        "portal_address_unusable": 1,
        "text_cut": 1,
        "twice_in_the_list": 1,
        "website_unusable": 1,
    }
    found = {one.brand: one for one in find("", limit=100)}
    assert {"Fine", "Script", "One", "Two", "Self", "Gone"} < found.keys()
    assert "Break Bcc: all@example.org [31m evil" in found
    assert max(map(len, found)) == 200
    assert found["Gone"].provider is None
    assert not found["Gone"].linkable
    assert found["Script"].portal_url is None
    with session(read_only=True) as state:
        assert set(known().values()) == {"https://fine.example/r4"}
        assert all(one.isprintable() for provider in state.query(Provider) for one in (provider.name, provider.slug))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"resourceType": "Patient"}',
        b'{"resourceType": "Bundle", "entry": {"a": 1}}',
        b'{"resourceType": "Bundle", "entry": "x"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x1f\x8bnot gzip",
    ],
)
def test_what_is_no_list_is_one_clear_error(home: Path, tmp_path: Path, body: bytes) -> None:
    with pytest.raises(LinkError) as error:
        import_bundle(write(tmp_path, body))
    assert error.value.code == "CH621"
    with pytest.raises(LinkError, match="CH621"):
        import_bundle(str(tmp_path / "nowhere.json"))
    assert known() == {}
    for source in ("https://user:secret@lists.example/b.json", "http://", "https://[x/b.json"):
        with pytest.raises(LinkError, match="CH621") as refused:
            import_bundle(source)
        assert "secret" not in str(refused.value)
    with pytest.raises(StateError, match="CH607"):
        import_bundle(write(tmp_path, bundle()), region="usa")


def test_a_list_at_an_address_is_asked_for_its_changes_only(home: Path) -> None:
    state_of = {"tag": 'W/"1"', "body": region()}

    def answer(asked: Asked) -> Reply:
        if asked.headers.get("If-None-Match") == state_of["tag"]:
            return Reply(304, b"", {"ETag": state_of["tag"]})
        return as_json(state_of["body"], ETag=state_of["tag"])

    with OddServer(answer) as server:
        url = f"{server.url}/brands.json"
        assert import_bundle(url).brands == 4
        assert import_bundle(url).unchanged
        assert import_bundle(url, again=True).brands == 4
        state_of |= {"tag": 'W/"2"', "body": bundle()}
        report = import_bundle(url)
        assert (report.unchanged, report.brands, len(report.vanished)) == (False, 0, 4)
        assert [asked.headers.get("If-None-Match") for asked in server.asked] == [None, 'W/"1"', None, 'W/"1"']
        state_of["body"] = None
        with pytest.raises(LinkError, match="CH621"):
            import_bundle(url, again=True)


def test_a_providers_own_list_goes_before_a_vendors(home: Path, tmp_path: Path) -> None:
    own = bundle()

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/smart-configuration"):
            return as_json({"userAccessBrands": f"{server.url}/own.json"})
        return as_json(own)

    with OddServer(answer) as server:
        base = f"{server.url}/fhir"
        own = bundle(
            brand("o", "New Name Health", portal("New", "https://new.example", "e"), site="new.example"),
            endpoint("e", base),
        )
        vendor = bundle(
            brand("v", "Old Name Hospital", portal("Old", "https://old.example", "e"), site="new.example"),
            brand("w", "Other Hospital", portal("W", None, "w")),
            endpoint("e", base),
            endpoint("w", "https://w.example/r4"),
        )  # fmt: skip
        import_bundle(write(tmp_path, vendor))
        assert names("hospital") == ["Old Name Hospital", "Other Hospital"]
        report = import_own_bundle("old-name-hospital")
        assert (report.brands, report.providers_new, report.providers_known) == (1, 0, 1)
        assert names("hospital") == ["Other Hospital"]
        assert [found.provider for found in find("new name")] == ["old-name-hospital"]
        import_bundle(write(tmp_path, vendor), again=True)
        assert names("old name") == []
        assert import_bundle(f"{server.url}/own.json", again=True).brands == 1  # by whomever it is read again
        assert names("old name") == []
    with pytest.raises(Exception, match="CH101"):
        import_own_bundle("old-name-hospital")


def test_texts_of_strangers_stay_on_one_line() -> None:
    assert cleaned(" A\r\n\tB\u2028C\u200bD\x00 ") == "A B C D"
    assert len(cleaned("x" * 10_000)) == 200
    assert read_bundle(b'{"resourceType": "Bundle"}', "x").brands == ()
