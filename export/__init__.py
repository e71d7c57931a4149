"""From an ``nn.Module`` or an ONNX model to the ONNX file that a target reads."""
