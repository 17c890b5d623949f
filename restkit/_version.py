"""The version, as a literal: the build reads this file without importing anything."""

__version__ = "5.0.0.dev0"
