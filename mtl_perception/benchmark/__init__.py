"""
Comparison of one network with two: time and memory, in interleaved measurements.

Only the command imports this package. It works without torch, except for networks that only torch
runs.
"""
