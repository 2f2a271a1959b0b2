"""What Airflow needs from us: pages, the REST API, notifiers, triggers. Nothing is loaded at import."""
