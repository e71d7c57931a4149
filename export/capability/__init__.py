"""What a target's TensorRT takes of a graph, by rules: see `contract` and `check`."""
