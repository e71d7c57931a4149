"""The precision in the graph, and what stays fp32: `lower` is the way through."""
