"""Forms: urlencoded and multipart."""
