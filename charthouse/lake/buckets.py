"""Which partition a person falls into, computed as DuckLake computes `bucket(n, person_key)`."""

from __future__ import annotations

import mmh3


def bucket_of(person_key: str, buckets: int) -> int:
    """The bucket of `person_key`: 32-bit Murmur3 of its UTF-8 bytes, sign bit cleared, modulo `buckets`.

    DuckLake uses Apache Iceberg's bucket transform (Iceberg specification, appendix B); a test compares the two.
    Tasks that build the people of one bucket therefore read the files of one partition only.
    """
    return (mmh3.hash(person_key) & 0x7FFFFFFF) % buckets
