"""Quantisation of an exported graph from FP32 to INT8; importing the package needs no onnx."""
