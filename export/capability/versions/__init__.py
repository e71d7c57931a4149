"""What TensorRT 8.0 to 11.x take of a graph, by version: see `table`."""
