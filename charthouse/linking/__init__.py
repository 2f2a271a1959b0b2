"""Who is linked to whom: people, providers, links, credentials, and everything between "connect" and "expired"."""
