"""Element types: PyTorch's storage classes and safetensors' codes to NumPy dtypes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import numpy.typing as npt

STORAGE_DTYPES: dict[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}

SAFETENSORS_DTYPES: dict[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def numpy_dtype(name: str) -> npt.DTypeLike:
    """The NumPy dtype of a name; bfloat16 is ml_dtypes', which NumPy itself lacks."""
    return ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)


def itemsize(name: str) -> int:
    """Bytes per element."""
    return np.dtype(numpy_dtype(name)).itemsize
