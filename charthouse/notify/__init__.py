"""Telling people: the outbox, what they asked of it, and the channels that carry it. It knows nothing of linking."""
