"""How a provider exports: what Bulk Data Access leaves open, as fields. The defaults are the standard's (STU 3)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]


class BulkHabits(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One server's way to export."""

    offered: bool = True
    open: bool = False
    """No token is needed, neither to ask nor to read files."""
    requires_access_token: bool = True
    """Files need the token; else their addresses are all that it takes, and a token with them is an error."""
    working_polls: Annotated[int, msgspec.Meta(ge=0)] = 1
    """How often the status is 202 before the manifest comes."""
    retry_after: Literal["seconds", "date", "none"] = "seconds"
    retry_seconds: Annotated[int, msgspec.Meta(ge=0)] = 1
    min_poll_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0
    """Status requests that follow each other sooner are answered 429; the tenth of them ends the job."""
    one_at_a_time: bool = False
    """A kick-off while an export is under way is answered 429."""
    separate_status: Literal["asked", "always", "never"] = "asked"
    """When the status of the job is told in X-Export-Status."""
    post: bool = True
    get: bool = True
    resources_per_file: Count = 1000
    files_per_page: Count | None = None
    """Files on one page of a manifest, for clients that take partial ones."""
    counts: bool = True
    ranges: bool = True
    names: Literal["stu3", "stu4"] = "stu3"
    own_base: str = ""
    """The FHIR base that a server behind a proxy knows itself by, as it stands in `request`."""
    deleted: bool = True
    shared: bool = True
    """Resources that belong to nobody (Practitioner, Organization …) are exported too."""
    outcomes: tuple[str, ...] = ()
    """OperationOutcomes of the `error` files, each as `severity` or `severity Type`."""
    outcome_count: int | None = None
    """The `count` of the `error` file, where it is not that of its lines: some give that of what they left out."""
    expires_seconds: Annotated[float, msgspec.Meta(ge=1)] = 3600
