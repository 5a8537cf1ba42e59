"""Hardware-aware, multimodal neural architecture search."""
