"""The check: a verdict for each resource. Pure functions; see `docs/checks.md`."""

from transforms.checking.checker import Checker
from transforms.checking.verdict import Finding, Owner, Status, Verdict

__all__ = ["Checker", "Finding", "Owner", "Status", "Verdict"]
