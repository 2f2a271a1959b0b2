"""Precision and recall over published people, split over two providers with copies that differ."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.duplicate_copies import split
from benchmarks.duplicates import DATA, measure, people


@pytest.mark.shared_data
def test_most_copies_are_found_and_little_else() -> None:
    splits = {f"person-{number}": split(each, 40 + number) for number, each in enumerate(islice(people(DATA), 50, 62))}
    measured = measure(splits)
    assert sum(map(len, measured.truth.values())) > 300
    assert measured.precision() > 0.98
    assert measured.recall() > 0.95
    for name, pairs in measured.truth.items():
        assert len(pairs) < 20 or (measured.precision(name) > 0.95 and measured.recall(name) > 0.9), name
