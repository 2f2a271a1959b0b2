"""Pure data work: FHIR resources in, verdicts and category rows out. No network, no database server, no Airflow."""
