"""The network (torch): backbones, pyramid, heads, checkpoints and the deployable graph."""
