"""
What the runtime `tensorrt` is made of.

`flavour`, `parsing` and `engine_cache` can be imported where TensorRT is not installed; `library`
loads it (200 MB), and `building` and `contexts` need it. `cuda` needs CUDA's Python package.
"""
