"""Models on disk: ONNX files with their gate, and weights."""
