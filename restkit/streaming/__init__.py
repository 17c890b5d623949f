"""Streams made of streams: what can be made again, and what is made of several."""

from restkit.streaming.replay import ResourceStream, ResourceStreamFunction, replayable

__all__ = ["ResourceStream", "ResourceStreamFunction", "replayable"]
