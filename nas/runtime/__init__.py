"""What ships in a bundle; it needs numpy and onnxruntime alone."""
