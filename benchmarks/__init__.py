"""How fast, against whom: every figure a ratio within one run."""
