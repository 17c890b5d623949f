"""Measure restkit and other clients: ``python -m benchmarks``. See README.rst."""
