"""The functions that a checkpoint may name, and what is done instead of calling them.

A table, written out: a name that is not in it is refused. Each entry gets the arguments as
inert values and returns an inert value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.models.weights.inert import Global, Instance, Tensor
from edgeup.models.weights.tensors import tensor_from_parts

Arguments = tuple[object, ...]


def keyed(pairs: object) -> dict[object, object]:
    """A dict of ``[(key, value), ...]`` whose keys are cheap to hash.

    A tuple as a key could nest so deep, or share so much, that hashing it never ends.
    """
    if not isinstance(pairs, list):
        raise ValueError("a mapping is not built from a list of pairs")
    result: dict[object, object] = {}
    for key, value in pairs:
        result[hashable(key)] = value
    return result


def hashable(key: object) -> object:
    """``key``, if it is a scalar or one of the inert records.

    Raises:
        EdgeupError: it is a container.
    """
    if key is None or isinstance(key, str | bytes | int | float | Global | Instance | Tensor):
        return key
    raise EdgeupError(f"the pickle uses a {type(key).__name__} as a key")


def _tensor(args: Arguments) -> object:
    # _rebuild_tensor(storage, offset, size, stride)
    # _rebuild_tensor_v2(..., requires_grad, backward_hooks, metadata=None)
    if len(args) < 4:
        raise ValueError(f"a tensor is rebuilt from {len(args)} arguments")
    return tensor_from_parts(*args[:4])


def _parameter(args: Arguments) -> object:
    # _rebuild_parameter(data, requires_grad, backward_hooks[, state]); before PyTorch 1.0 also
    # the class itself, Parameter(data, requires_grad).
    if not args or not isinstance(args[0], Tensor):
        raise ValueError("a parameter is rebuilt from something that is no tensor")
    return args[0]


def _size(args: Arguments) -> object:
    (sizes,) = args
    if not isinstance(sizes, tuple | list):
        raise ValueError("torch.Size of something that is no sequence")
    return tuple(sizes)


def _dict(args: Arguments) -> object:
    return keyed(args[0]) if args else {}


def _default_dict(_: Arguments) -> object:
    return {}  # its factory is never needed to read


def _set(args: Arguments) -> object:
    items = args[0] if args else []
    if not isinstance(items, list | tuple):
        raise ValueError("a set is not built from a list")
    return {hashable(item) for item in items}


def _bytes(args: Arguments) -> object:
    # How protocol 2 writes bytes: _codecs.encode('...', 'latin1').
    match args:
        case (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
    raise ValueError("_codecs.encode of something else than bytes")


def _old_instance(args: Arguments) -> object:
    # copyreg._reconstructor(cls, object, None): protocols 0 and 1.
    match args:
        case (Global() as cls, Global(name="object"), None):
            return Instance(cls)
    raise ValueError("copyreg._reconstructor of something else than a plain object")


def _numpy_dtype(args: Arguments) -> object:
    # numpy.dtype('f8', align, copy), followed by a state that holds the byte order.
    match args:
        case (str(code), *_):
            return Instance(Global("numpy", "dtype"), {"code": code})
    raise ValueError("numpy.dtype without a code")


def _numpy_scalar(args: Arguments) -> object:
    # numpy.core.multiarray.scalar(dtype, bytes): an epoch, a metric.
    match args:
        case (Instance(attributes={"code": "f4" | "f8" | "i4" | "i8" | "b1" as code}), bytes(raw)):
            return np.frombuffer(raw, f"<{code}", count=1)[0].item()
    return None  # of another type, or of Python 2: nothing that is reported


def _opaque(name: Global) -> Callable[[Arguments], object]:
    return lambda _: Instance(name)


_TABLE: tuple[tuple[str, str, Callable[[Arguments], object]], ...] = (
    ("torch._utils", "_rebuild_tensor", _tensor),
    ("torch._utils", "_rebuild_tensor_v2", _tensor),
    ("torch._utils", "_rebuild_parameter", _parameter),
    ("torch._utils", "_rebuild_parameter_with_state", _parameter),
    ("torch.nn.parameter", "Parameter", _parameter),
    ("torch", "Size", _size),
    ("torch", "device", _opaque(Global("torch", "device"))),
    # PyTorch before 1.2 pickled this in every module, as its `_backend`.
    (
        "torch.nn.backends.thnn",
        "_get_thnn_function_backend",
        _opaque(Global("torch.nn.backends.thnn", "THNNFunctionBackend")),
    ),
    # An argument of sparse tensors, which are then refused by their own name.
    ("torch.serialization", "_get_layout", _opaque(Global("torch", "layout"))),
    ("collections", "OrderedDict", _dict),
    ("collections", "defaultdict", _default_dict),
    ("builtins", "set", _set),
    ("__builtin__", "set", _set),  # protocol 2 writes Python 2's names
    ("builtins", "frozenset", _set),
    ("__builtin__", "frozenset", _set),
    ("_codecs", "encode", _bytes),
    ("copyreg", "_reconstructor", _old_instance),
    ("copy_reg", "_reconstructor", _old_instance),
    ("numpy", "dtype", _numpy_dtype),
    ("numpy.core.multiarray", "scalar", _numpy_scalar),
    ("numpy._core.multiarray", "scalar", _numpy_scalar),
    (
        "numpy.core.multiarray",
        "_reconstruct",
        _opaque(Global("numpy", "ndarray")),
    ),
    (
        "numpy._core.multiarray",
        "_reconstruct",
        _opaque(Global("numpy", "ndarray")),
    ),
)

REBUILDERS: dict[Global, Callable[[Arguments], object]] = {
    Global(module, name): rebuild for module, name, rebuild in _TABLE
}
