"""The audit: Great Expectations on rows before anyone sees them, by the suites in `expectations/`.

A rule stands for a row (which is marked or withheld, while the rest is published) or for its table (the batch is held).
Results hold rules and row keys, never a value. Great Expectations is imported inside the functions: it costs seconds.
"""

from transforms.auditing.audit import BROKEN, TableAudit, audit_staged
from transforms.auditing.suites import Rule, Severity, SuiteError, rules_of

__all__ = ["BROKEN", "Rule", "Severity", "SuiteError", "TableAudit", "audit_staged", "rules_of"]
