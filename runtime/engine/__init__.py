"""TensorRT engines: building, reading back, storing, running."""
