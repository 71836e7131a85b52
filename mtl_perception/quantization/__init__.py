"""From an exported graph in FP32 to one in INT8; importing the package needs no onnx."""
