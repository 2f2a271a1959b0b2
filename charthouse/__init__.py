"""The domain and its effects: people, links, fetching, the lake, privacy. It does not know Airflow."""
