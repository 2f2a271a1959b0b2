"""The version of the mapping from resources to rows, which every row carries."""

from transforms.classification import mapping_version

LAYOUT_VERSION = 3
"""Raised with every change of what an element becomes."""

MAPPING_VERSION = f"{LAYOUT_VERSION}.{mapping_version()}"
"""How rows are laid out, and how resources are told apart. People whose rows have another one are due for a rebuild."""
