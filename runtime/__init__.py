"""Run, compare and time ONNX models; look at the machine they run on."""
