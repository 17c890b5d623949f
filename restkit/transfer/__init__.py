"""Downloads that continue after breaks, and are checked."""
