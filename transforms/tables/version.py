"""The version of the mapping from resources to rows, which every row carries."""

MAPPING_VERSION = "2"
"""Raised with every change of what a resource becomes. People whose rows have another one are due for a rebuild."""
