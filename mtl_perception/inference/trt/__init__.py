"""
Parts of the runtime `tensorrt`.

`flavour`, `parsing` and `engine_cache` can be imported without TensorRT; `library` loads it (200
MB), and `building` and `contexts` need it. `cuda` needs CUDA's Python package.
"""
