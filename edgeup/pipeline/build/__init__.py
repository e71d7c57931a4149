"""From an ONNX file to an engine and its sidecar: `engine` is the way through."""
