"""What TensorRT for RTX refuses."""
