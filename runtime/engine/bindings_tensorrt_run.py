"""Every call to TensorRT's Python bindings that running an engine needs.

Inputs and outputs are found by index up to TensorRT 8.4 and by name from 8.5 on, where both
exist until 10 drops the index: `ByIndex` and `ByName` say the same in either way, and the names
that their versions lack do not occur in them. What is said in `edgeup.runtime.engine.
bindings_tensorrt` about guards and the names of objects holds here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgeup.errors import EdgeupError

Shape = tuple[int, ...]

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "BOOL": "bool",
    "UINT8": "uint8",
    **{name: name.lower() for name in ("INT8", "INT32", "INT64")},
}
"""NumPy's names for TensorRT's data types; FP8, FP4 and INT4 have none in use."""


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine; a dimension of -1 is dynamic."""

    name: str
    is_input: bool
    shape: Shape
    dtype: str


class EngineIO(Protocol):
    """Inputs and outputs of one engine under one optimization profile."""

    def tensors(self) -> tuple[EngineTensor, ...]:
        """Inputs and outputs in the engine's order.

        Raises:
            EdgeupError: one of them is nothing that a session can feed or read.
        """
        ...

    def limits(self, name: str) -> tuple[Shape, Shape]:
        """The smallest and the largest shape that the engine takes for an input."""
        ...

    def set_input_shape(self, context: Any, name: str, shape: Shape) -> bool:
        """Choose an input's shape for the next runs; False where TensorRT refuses it."""
        ...

    def shape(self, context: Any, name: str) -> Shape:
        """The shape under the chosen input shapes; -1 where it depends on the data."""
        ...

    def enqueue(self, context: Any, addresses: Mapping[str, int], stream: int) -> bool:
        """Start a run on tensors at device addresses; False where TensorRT refuses."""
        ...


def io_of(trt: Any, engine: Any, profile: int) -> EngineIO:
    """The way in which this TensorRT speaks of inputs and outputs.

    Raises:
        EdgeupError: the engine has an implicit batch, or no such profile.
    """
    if hasattr(engine, "has_implicit_batch_dimension") and engine.has_implicit_batch_dimension:
        raise EdgeupError(
            "the engine has an implicit batch, which ONNX models never have: build it again "
            "from ONNX"
        )
    count = int(engine.num_optimization_profiles)
    if not 0 <= profile < max(count, 1):
        raise EdgeupError(
            f"the engine has the optimization profiles 0 to {count - 1}, not {profile}"
        )
    if hasattr(engine, "num_io_tensors"):
        return ByName(trt, engine, profile)
    return ByIndex(trt, engine, profile)


class ByIndex:
    """Bindings by index: each profile has its own, one profile's after the other's."""

    VERSIONS = ((8, 0), (8, 4))

    def __init__(self, trt: Any, engine: Any, profile: int) -> None:
        self._trt = trt
        self._engine = engine
        self._profile = profile
        self._count = engine.num_bindings // max(engine.num_optimization_profiles, 1)
        # Names of later profiles' bindings end in " [profile 1]": those of the first are plain.
        self._index = {str(engine.get_binding_name(i)): i for i in range(self._count)}

    def tensors(self) -> tuple[EngineTensor, ...]:
        """See `EngineIO`."""
        engine = self._engine
        return tuple(
            _tensor(
                name,
                is_input=engine.binding_is_input(i),
                shape=engine.get_binding_shape(i),
                dtype=engine.get_binding_dtype(i),
                is_linear=engine.get_binding_format(i) == self._trt.TensorFormat.LINEAR,
                is_shape=engine.is_shape_binding(i),
            )
            for name, i in self._index.items()
        )

    def limits(self, name: str) -> tuple[Shape, Shape]:
        """See `EngineIO`."""
        least, _, most = self._engine.get_profile_shape(self._profile, self._binding(name))
        return tuple(least), tuple(most)

    def set_input_shape(self, context: Any, name: str, shape: Shape) -> bool:
        """See `EngineIO`."""
        return bool(context.set_binding_shape(self._binding(name), shape))

    def shape(self, context: Any, name: str) -> Shape:
        """See `EngineIO`."""
        return tuple(context.get_binding_shape(self._binding(name)))

    def enqueue(self, context: Any, addresses: Mapping[str, int], stream: int) -> bool:
        """See `EngineIO`."""
        bindings = [0] * self._engine.num_bindings  # those of other profiles are not looked at
        for name, address in addresses.items():
            bindings[self._binding(name)] = address
        return bool(context.execute_async_v2(bindings, stream))

    def _binding(self, name: str) -> int:
        return int(self._profile * self._count + self._index[name])


class ByName:
    """Tensors by name, the same names in every profile."""

    VERSIONS = ((8, 5), None)

    def __init__(self, trt: Any, engine: Any, profile: int) -> None:
        self._trt = trt
        self._engine = engine
        self._profile = profile

    def tensors(self) -> tuple[EngineTensor, ...]:
        """See `EngineIO`."""
        engine = self._engine
        names = [str(engine.get_tensor_name(i)) for i in range(engine.num_io_tensors)]
        return tuple(
            _tensor(
                name,
                is_input=engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT,
                shape=engine.get_tensor_shape(name),
                dtype=engine.get_tensor_dtype(name),
                is_linear=engine.get_tensor_format(name) == self._trt.TensorFormat.LINEAR,
                is_shape=engine.is_shape_inference_io(name),
            )
            for name in names
        )

    def limits(self, name: str) -> tuple[Shape, Shape]:
        """See `EngineIO`."""
        least, _, most = self._engine.get_tensor_profile_shape(name, self._profile)
        return tuple(least), tuple(most)

    def set_input_shape(self, context: Any, name: str, shape: Shape) -> bool:
        """See `EngineIO`."""
        return bool(context.set_input_shape(name, shape))

    def shape(self, context: Any, name: str) -> Shape:
        """See `EngineIO`."""
        return tuple(context.get_tensor_shape(name))

    def enqueue(self, context: Any, addresses: Mapping[str, int], stream: int) -> bool:
        """See `EngineIO`."""
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                return False
        return bool(context.execute_async_v3(stream))


def has_int64(trt: Any) -> bool:
    """Whether int64 inputs stay so; before TensorRT 10 the parser makes int32 of them."""
    return hasattr(trt.DataType, "INT64")


def memory_needs(trt: Any, engine: Any) -> tuple[int, int | None]:
    """Bytes that an execution context takes for activations, and those of the weights.

    Activations: the most over all optimization profiles; counted in 64 bits from 10.3 on.
    Weights: None before 10.14, where TensorRT does not tell.
    """
    activations = (
        engine.device_memory_size_v2
        if hasattr(engine, "device_memory_size_v2")
        else engine.device_memory_size
    )
    if not hasattr(engine, "get_engine_stat"):
        return int(activations), None
    return int(activations), int(engine.get_engine_stat(trt.EngineStat.TOTAL_WEIGHTS_SIZE))


def load_plugins(trt: Any, logger: Any) -> None:
    """Register TensorRT's own plugins, which an engine may use."""
    trt.init_libnvinfer_plugins(logger, "")


def create_context(engine: Any, profile: int, stream: int) -> Any:
    """What runs the engine, with one optimization profile; None where memory is short.

    A profile other than the first is chosen on the stream: synchronize it before the first run.
    """
    context = engine.create_execution_context()
    if context is None or profile == 0 or context.set_optimization_profile_async(profile, stream):
        return context
    return None


def report_layers(trt: Any, context: Any, report: Callable[[str, float], None]) -> Any:
    """Have every run of the context report each layer's name and milliseconds.

    Returns:
        The profiler; it must live as long as the context.
    """

    class Profiler(trt.IProfiler):  # type: ignore[misc]  # the base comes from an optional package
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            report(layer_name, ms)

    profiler = Profiler()
    context.profiler = profiler
    return profiler


def _tensor(
    name: str, *, is_input: bool, shape: Any, dtype: Any, is_linear: bool, is_shape: bool
) -> EngineTensor:
    what = f"{'input' if is_input else 'output'} {name} of the engine"
    if dtype.name not in _DTYPES:
        raise EdgeupError(f"{what} is {dtype.name}, which has no NumPy type to run it with")
    if not is_linear:
        raise EdgeupError(f"{what} has a vectorized layout; build it with linear (n c h w) ones")
    if is_shape:
        raise EdgeupError(f"{what} is a shape, read on the CPU; build with constant shapes")
    return EngineTensor(name, bool(is_input), tuple(shape), _DTYPES[dtype.name])
