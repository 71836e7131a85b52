"""A demonstration flight: the nodes as processes, watched by a monitor, and a report of it."""
