"""Android's Health Connect as data and pure rules: its medical types, and what it takes for a medical record.

`medical_type` says which of its types a resource is of; `Gate` repeats its validation, in its order.
"""

from transforms.health_connect.gate import Gate, Passed, Refused
from transforms.health_connect.types import (
    CATEGORIES,
    FHIR_VERSIONS,
    LIMITS,
    MEDICAL_TYPES,
    fhir_types,
    medical_type,
    permission_of,
    type_of_permission,
)

__all__ = [
    "CATEGORIES",
    "FHIR_VERSIONS",
    "LIMITS",
    "MEDICAL_TYPES",
    "Gate",
    "Passed",
    "Refused",
    "fhir_types",
    "medical_type",
    "permission_of",
    "type_of_permission",
]
