"""Translations from aten operators to ONNX, for ``torch.onnx.export(dynamo=True)``."""
