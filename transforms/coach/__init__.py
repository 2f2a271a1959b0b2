"""Facts for an assistant: questions about one person's records, answered from rows that are at hand. Pure.

`records` is what is known of a person, `results` what answers look like, and each other module answers one kind of
question. Nothing here is a judgement: what is said was sent, or is counted.
"""
