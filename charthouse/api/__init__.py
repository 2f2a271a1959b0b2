"""The REST API v1 and the two pages of a sign-in. One app, mounted in Airflow's web server or served alone."""

MOUNT = "/charthouse/v1"
"""Where the app stands, wherever it is served."""
