"""The vault and the records: DuckLake sessions, commits, maintenance."""
