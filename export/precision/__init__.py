"""A graph in fp16 or bf16: who takes the format, the casts in between, and a twin to measure with.

Established converters were measured before this one was written, on this project's networks and
on the 1,209 operator tests of onnx 1.23 that have float32 in their interface and run in ONNX
Runtime 1.32. The converted FastDepth, U-Net and SegNet ran and were built by TensorRT for RTX
from all of them. Of the operator tests, converted with inputs and outputs kept:

- onnxruntime.transformers.float16: 50 no longer run, and 1,205 fail onnx.checker, since casts
  stand behind the nodes that read them; SegNet got 17 casts where 2 do, around Max.
- onnxconverter-common 1.16: 357 no longer run, 54 changed their interface, 351 fail the checker.
- NVIDIA ModelOpt 0.47, AutoCast (convert_to_f16): 28 stop with an exception; it leaves single
  nodes in float32, so the rest says little. It brought models of opset 14 to 19, which JetPack 6.0
  and older do not read, and needs torch and NVML's bindings to be imported.
- this one: all run but two, whose sequences onnx-ir mistypes; of the 850 that TensorRT for RTX
  1.7.1 builds in float32, it builds 850 in fp16.

The first two pull weights in (beyond 65,504; by default beyond 10,000) and raise tiny ones (to
6e-8; to 1e-7) without a word, and have no bf16. Here a node whose constant does not fit stays
float32, and is named.
"""
