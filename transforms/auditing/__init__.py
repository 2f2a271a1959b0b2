"""The audit: Great Expectations on rows before anyone sees them, by the suites in `expectations/`.

A rule stands for a row (the row is withheld, the rest is published) or for its table (the batch is held). Results hold
rules and row keys, never a value. Great Expectations is imported inside the functions: it costs seconds.
"""

from transforms.auditing.audit import TableAudit, audit_staged, audit_table
from transforms.auditing.suites import Rule, SuiteError, rules_of

__all__ = ["Rule", "SuiteError", "TableAudit", "audit_staged", "audit_table", "rules_of"]
