"""Taking everything away: one ZIP that a person reads in a browser and a program reads as FHIR, CSV or Parquet.

`job` does it, `contents` says what goes in and in which order, `archive` writes it (encrypted, in parts, resumable),
`check` proves it afterwards, `downloads` hands it over.
"""
