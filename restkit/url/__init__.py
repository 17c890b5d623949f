"""URLs, hosts and query parameters."""
