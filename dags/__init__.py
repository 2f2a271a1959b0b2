"""When things happen: one thin file a job."""
