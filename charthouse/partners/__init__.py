"""One client a protocol, and the HTTP they share."""
