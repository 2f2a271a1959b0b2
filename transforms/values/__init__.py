"""What the values of records mean: results written as strings, comparators, units. SQL text in, SQL text out.

No function here fails on a value: what cannot be read is NULL, with the id of a remark that says why.
"""
