"""Lets schemathesis write chunks of uploads (its hooks, by SCHEMATHESIS_HOOKS): they are bytes like others."""

import schemathesis

schemathesis.serializer.alias("application/partial-upload", "application/octet-stream")
