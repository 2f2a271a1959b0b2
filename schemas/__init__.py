"""What data looks like: ViewDefinitions, the FHIR R4 structure table, code lists. Data files only."""
