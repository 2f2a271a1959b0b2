"""Counterparties to run against: they follow the published standards, not the habits of our client."""
