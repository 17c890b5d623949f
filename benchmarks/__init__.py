"""The budget of restkit, measured against its peers: `python -m benchmarks`, see README.rst."""
