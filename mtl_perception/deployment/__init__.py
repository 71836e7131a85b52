"""Models made ready for a machine: export as ONNX, engines of TensorRT."""
