"""Downloads that continue after interruptions, and are checked."""
