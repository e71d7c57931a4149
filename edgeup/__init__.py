"""edgeup: upsampling networks from PyTorch or ONNX to NVIDIA Jetson.

This module imports nothing of the package, so that any part can be used without the others.
"""
