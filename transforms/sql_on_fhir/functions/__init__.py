"""The FHIRPath functions that a view may call: one entry each in FUNCTIONS, which these modules fill."""

from transforms.sql_on_fhir.functions import (  # noqa: F401 - each enters its own
    boundaries,
    conversion,
    existence,
    filtering,
    keys,
    strings,
    types,
)
from transforms.sql_on_fhir.functions.table import FUNCTIONS

__all__ = ["FUNCTIONS"]
