"""
What one network saves over two: time and memory of both, measured side by side.

Nothing but `main` imports this package. It works without torch, but for networks that only torch
runs.
"""
