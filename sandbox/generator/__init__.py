"""Made-up people: believable US Core R4 records, the same for the same seed."""

from sandbox.generator.making import BROKEN_SHARE, Report, generate
from sandbox.generator.writing import into_folder, into_store

__all__ = ["BROKEN_SHARE", "Report", "generate", "into_folder", "into_store"]
