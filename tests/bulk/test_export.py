"""A fetch by export ends with the resources that searches bring, whatever goes wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bulk.conftest import House, Vault


def test_an_export_brings_what_searches_bring_and_nothing_of_others(house: House, crawled: Vault) -> None:
    assert house.fetch() == crawled
    assert house.codes() == set()
    assert house.sandbox.exports() == [], "the job is deleted when its files are read"
    [stage] = [stage for stage in house.report().stages if stage.stage == "fetch"]
    assert stage.detail["left_out"] > 0
