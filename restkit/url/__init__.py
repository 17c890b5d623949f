"""URLs: parse, check, join and encode them."""
