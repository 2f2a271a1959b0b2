"""What data must satisfy: one Great Expectations suite a table, as JSON. Data files only."""
