"""A TensorRT whose engines are ONNX models that ONNX Runtime computes; one module per release.

A class has exactly the names that the release's API table gives it, as far as they are simulated
here: what the release lacks raises AttributeError, as does setting it, and a name that no release
has cannot be simulated by mistake. What TensorRT would answer with a crash or with garbage is a
fault of the simulated GPU. What it answers with None or False and a line in the log is answered
so here.
"""

from __future__ import annotations

import copy
import enum
import json
import types
import weakref
from collections import Counter

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

MAGIC = b"simulated engine\n"

_TYPES = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
}
_BYTES = {
    "FLOAT": 4,
    "HALF": 2,
    "BF16": 2,
    "INT8": 1,
    "INT32": 4,
    "INT64": 8,
    "BOOL": 1,
    "UINT8": 1,
}


class Api:
    """The API table: which names a class has in a release."""

    def __init__(self, table):
        self.releases = table["releases"]
        self.classes = {
            name: {key: self._releases(value) for key, value in entries.items()}
            for name, entries in table["classes"].items()
        }

    def _releases(self, text):
        found = set()
        for part in text.split():
            first, _, last = part.partition("..")
            start, end = self.releases.index(first), self.releases.index(last or first)
            found.update(self.releases[start : end + 1])
        return found

    def names(self, owner, release):
        """The names of a class (or of ``module``) in a release."""
        return {name for name, where in self.classes[owner].items() if release in where}

    def ever(self, owner):
        """The names that a class has in any release."""
        return set(self.classes[owner])


CONTEXT_BYTES = 1 << 20
"""What each execution context takes for activations."""


def engine_bytes(model, *, release, profiles=(), version_compatible=False, **more):
    """A serialized engine: what its builder noted, and the ONNX model."""
    note = {
        "release": release,
        "profiles": list(profiles),
        "version_compatible": version_compatible,
        "implicit_batch": False,
        "format": "LINEAR",
        "capturable": True,
        "layers": None,
        **more,
    }
    return MAGIC + json.dumps(note).encode() + b"\n" + model


class _Plan:
    """A deserialized engine: inputs, outputs, profiles; computes with ONNX Runtime."""

    def __init__(self, note, model, has_int64):
        self.note = note
        self.model = onnx.load_model_from_string(model)
        graph = self.model.graph
        constants = {tensor.name for tensor in graph.initializer}
        self.inputs = [value for value in graph.input if value.name not in constants]
        self.outputs = list(graph.output)
        self.names = [value.name for value in (*self.inputs, *self.outputs)]
        self.shapes = {v.name: _shape(v) for v in (*self.inputs, *self.outputs)}
        self.types = {}
        for value in (*self.inputs, *self.outputs):
            kind = _TYPES[value.type.tensor_type.elem_type]
            self.types[value.name] = "INT32" if kind == "INT64" and not has_int64 else kind
        self.profiles = note["profiles"] or [{}]
        self.weights = sum(onnx.numpy_helper.to_array(t).nbytes for t in graph.initializer)
        self._runner = None

    def is_input(self, name):
        return any(value.name == name for value in self.inputs)

    def limits(self, name, profile):
        if not self.is_input(name):
            raise ValueError(f"{name} is no input")
        static = self.shapes[name]
        return [tuple(shape) for shape in self.profiles[profile].get(name, [static] * 3)]

    def output_shapes(self, shapes):
        """Shapes of all tensors under given input shapes; -1 where the data decide."""
        model = copy.deepcopy(self.model)
        for value in model.graph.input:
            if value.name in shapes:
                _set_shape(value, shapes[value.name])
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        del model.graph.value_info[:]
        inferred = shape_inference.infer_shapes(model, data_prop=True)
        return shapes | {value.name: _shape(value) for value in inferred.graph.output}

    def compute(self, feeds):
        """The outputs, in order; arrays have the engine's types."""
        wanted = {
            v.name: helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)
            for v in self.inputs
        }
        arrays = {name: array.astype(wanted[name]) for name, array in feeds.items()}
        if "BF16" in self.types.values():  # ONNX Runtime's Python takes none
            from onnx.reference import ReferenceEvaluator

            results = ReferenceEvaluator(self.model).run(None, arrays)
        else:
            import onnxruntime as ort

            if self._runner is None:
                options = ort.SessionOptions()
                options.intra_op_num_threads = 1
                self._runner = ort.InferenceSession(
                    self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
                )
            results = self._runner.run(None, arrays)
        return [
            result.astype(_numpy(self.types[value.name]))
            for value, result in zip(self.outputs, results, strict=True)
        ]


def _numpy(kind):
    elements = {name: element for element, name in _TYPES.items()}
    return helper.tensor_dtype_to_np_dtype(elements[kind])


def _shape(value):
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return (-1,)
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)


def _set_shape(value, shape):
    dims = value.type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        dim.dim_value = size


class _Dims:
    """TensorRT's Dims: a sequence, and no tuple."""

    def __init__(self, sizes):
        self._sizes = tuple(sizes)

    def __len__(self):
        return len(self._sizes)

    def __getitem__(self, index):
        return self._sizes[index]


def make_tensorrt(gpu, api, release, add_builder, operation):
    """The module of one release (``8.2.1``, ``rtx-1.7.1``), and counts of its living objects."""
    rtx = release.startswith("rtx-")
    trt = types.ModuleType("tensorrt_rtx" if rtx else "tensorrt")
    trt.__version__ = release.removeprefix("rtx-") + (".0" if release.count(".") < 2 else "")
    living = Counter()

    def offered(owner):
        """Give a class the release's names alone, and put it into the module."""
        name = owner.__name__
        public = [key for key in vars(owner) if not key.startswith("_")]
        if invented := [key for key in public if key not in api.ever(name)]:
            gpu.fault(f"no release's {name} has {', '.join(invented)}")
        allowed = api.names(name, release)
        for key in public:
            if key not in allowed:
                delattr(owner, key)
        for key in ("__len__", "__getitem__"):
            if key in vars(owner) and key in api.ever(name) and key not in allowed:
                delattr(owner, key)

        def set_attribute(self, key, value):
            if not key.startswith("_") and key not in allowed:
                raise AttributeError(f"{name} of {release} has no attribute {key!r}")
            object.__setattr__(self, key, value)

        overridable = name in ("ILogger", "IProfiler", "IProgressMonitor")
        if not overridable:
            owner.__setattr__ = set_attribute
        if name in api.names("module", release):
            setattr(trt, name, owner)
        return owner

    def counted(thing, kind):
        living[kind] += 1
        weakref.finalize(thing, living.subtract, [kind])

    def reserved(thing, nbytes):
        gpu.reserved += nbytes
        weakref.finalize(thing, release_memory, nbytes)

    def release_memory(nbytes):
        gpu.reserved -= nbytes

    for name in (
        *("BuilderFlag", "DataType", "DeviceType", "ErrorCode", "HardwareCompatibilityLevel"),
        *("LayerInformationFormat", "MemoryPoolType", "NetworkDefinitionCreationFlag"),
        *("OnnxParserFlag", "ProfilingVerbosity", "TensorFormat", "TensorIOMode"),
        *("ComputeCapability", "EngineStat"),
    ):
        if name in api.names("module", release):
            members = sorted(api.names(name, release))
            kind = enum.Enum(name, {member: index for index, member in enumerate(members)})
            kind.__int__ = lambda self: self.value
            setattr(trt, name, kind)

    Severity = enum.Enum(  # noqa: N806 - a class
        "Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4}
    )

    class Overridable:
        """A class that Python code derives from: pybind11 wants its ``__init__`` called."""

        def __init__(self):
            self._initialized = True

    def initialized(thing, kind):
        if not isinstance(thing, kind) or not getattr(thing, "_initialized", False):
            raise TypeError(f"{kind.__name__}.__init__() must be called when overriding __init__")
        return thing

    @offered
    class ILogger(Overridable):
        def log(self, severity, msg):
            raise RuntimeError("a pure virtual function was called")

    for member in Severity:
        setattr(ILogger, member.name, member)

    @offered
    class IProfiler(Overridable):
        def report_layer_time(self, layer_name, ms):
            raise RuntimeError("a pure virtual function was called")

    def error(logger, words):
        logger.log(Severity.ERROR, words)

    def integer(value, what):
        if not isinstance(value, int) or isinstance(value, bool):
            gpu.fault(f"{what} wants an integer, got {type(value).__name__}")
        return value

    def shape_of(value):
        if not isinstance(value, tuple | list) or not all(type(n) is int for n in value):
            gpu.fault(f"a shape of integers is wanted, got {value!r}")
        return tuple(value)

    # ------------------------------------------------------------------------------- running

    @offered
    class Runtime:
        def __init__(self, logger):
            self._logger = initialized(logger, ILogger)
            self._host_code = False
            counted(self, "runtime")

        @property
        def engine_host_code_allowed(self):
            return self._host_code

        @engine_host_code_allowed.setter
        def engine_host_code_allowed(self, allowed):
            self._host_code = allowed

        def deserialize_cuda_engine(self, serialized_engine):
            content = bytes(serialized_engine)
            if not content.startswith(MAGIC):
                error(self._logger, "IRuntime::deserializeCudaEngine: the magic tag does not match")
                return None
            head, _, model = content[len(MAGIC) :].partition(b"\n")
            note = json.loads(head)
            if note["release"] != release:
                error(self._logger, f"the engine plan file is of {note['release']}, not {release}")
                return None
            if note["version_compatible"] and not self._host_code:
                error(self._logger, "the engine holds host code, which is not allowed")
                return None
            plan = _Plan(note, model, hasattr(trt.DataType, "INT64"))
            return ICudaEngine(plan, self._logger)

    @offered
    class ICudaEngine:
        def __init__(self, plan, logger):
            self._plan, self._logger = plan, logger
            counted(self, "engine")
            reserved(self, plan.weights)

        def __len__(self):
            return self._bindings

        @property
        def has_implicit_batch_dimension(self):
            return self._plan.note["implicit_batch"]

        @property
        def num_optimization_profiles(self):
            return len(self._plan.profiles)

        @property
        def num_layers(self):
            return len(self._plan.model.graph.node)

        @property
        def device_memory_size(self):
            return CONTEXT_BYTES

        @property
        def device_memory_size_v2(self):
            return CONTEXT_BYTES

        def get_engine_stat(self, stat):
            assert stat is trt.EngineStat.TOTAL_WEIGHTS_SIZE
            return self._plan.weights

        @property
        def _bindings(self):
            return len(self._plan.names) * len(self._plan.profiles)

        def _name(self, index):
            if not 0 <= integer(index, "a binding's index") < self._bindings:
                gpu.fault(f"there is no binding {index}")
            return self._plan.names[index % len(self._plan.names)]

        @property
        def num_bindings(self):
            return self._bindings

        def get_binding_name(self, index):
            profile = index // len(self._plan.names)
            return self._name(index) + (f" [profile {profile}]" if profile else "")

        def get_binding_index(self, name):
            return self._plan.names.index(name) if name in self._plan.names else -1

        def binding_is_input(self, index):
            return self._plan.is_input(self._name(index))

        def get_binding_shape(self, index):
            return _Dims(self._plan.shapes[self._name(index)])

        def get_binding_dtype(self, index):
            return trt.DataType[self._plan.types[self._name(index)]]

        def get_binding_format(self, index):
            return trt.TensorFormat[self._plan.note["format"]]

        def is_shape_binding(self, index):
            return self._name(index) in self._plan.note.get("shape_tensors", ())

        def get_profile_shape(self, profile_index, binding):
            offset = binding // len(self._plan.names)
            if offset not in (0, profile_index):
                gpu.fault(f"binding {binding} is none of profile {profile_index}")
            return [_Dims(s) for s in self._plan.limits(self._name(binding), profile_index)]

        @property
        def num_io_tensors(self):
            return len(self._plan.names)

        def get_tensor_name(self, index):
            return self._plan.names[integer(index, "a tensor's index")]

        def get_tensor_mode(self, name):
            if name not in self._plan.names:
                return trt.TensorIOMode.NONE
            is_input = self._plan.is_input(name)
            return trt.TensorIOMode.INPUT if is_input else trt.TensorIOMode.OUTPUT

        def get_tensor_shape(self, name):
            return _Dims(self._plan.shapes[name])

        def get_tensor_dtype(self, name):
            return trt.DataType[self._plan.types[name]]

        def get_tensor_format(self, name):
            return trt.TensorFormat[self._plan.note["format"]]

        def is_shape_inference_io(self, name):
            return name in self._plan.note.get("shape_tensors", ())

        def get_tensor_profile_shape(self, name, profile_index):
            return [_Dims(s) for s in self._plan.limits(name, profile_index)]

        def create_execution_context(self):
            try:
                gpu.called("create_execution_context")
            except Exception as refusal:
                error(self._logger, f"creating an execution context: {refusal}")
                return None
            return IExecutionContext(self)

        def create_engine_inspector(self):
            return EngineInspector(self)

    @offered
    class EngineInspector:
        def __init__(self, engine):
            self._engine, self._context = engine, None

        @property
        def execution_context(self):
            return self._context

        @execution_context.setter
        def execution_context(self, context):
            self._context = context

        def get_engine_information(self, format):
            assert format is trt.LayerInformationFormat.JSON
            plan = self._engine._plan
            layers = plan.note["layers"]
            if layers is None:
                layers = [{"Name": node.name or node.op_type} for node in plan.model.graph.node]
            return json.dumps({"Layers": layers, "Bindings": plan.names})

    @offered
    class IExecutionContext:
        def __init__(self, engine):
            self._engine, self._plan, self._logger = engine, engine._plan, engine._logger
            self._profile = 0
            self._chosen = {}
            self._addresses = {}
            self._warm = None
            self._profiler = None
            self._emits_profile = True
            counted(self, "context")
            reserved(self, CONTEXT_BYTES)

        @property
        def active_optimization_profile(self):
            return self._profile

        @property
        def profiler(self):
            return self._profiler

        @profiler.setter
        def profiler(self, profiler):
            self._profiler = initialized(profiler, IProfiler)

        @property
        def enqueue_emits_profile(self):
            return self._emits_profile

        @enqueue_emits_profile.setter
        def enqueue_emits_profile(self, emits):
            self._emits_profile = emits

        def set_optimization_profile_async(self, profile_index, stream_handle):
            gpu.stream(stream_handle)
            if not 0 <= profile_index < len(self._plan.profiles):
                error(self._logger, f"there is no profile {profile_index}")
                return False
            self._profile = profile_index
            self._chosen.clear()
            return True

        def _choose(self, name, shape):
            shape = shape_of(shape)
            least, _, most = self._plan.limits(name, self._profile)
            fits = len(shape) == len(least) and all(
                low <= n <= high for low, n, high in zip(least, shape, most, strict=True)
            )
            if not fits:
                error(self._logger, f"{name}: {shape} is not within {least} and {most}")
                return False
            self._chosen[name] = shape
            return True

        def _sizes(self):
            """Shapes of all tensors as chosen so far."""
            fixed = {n: s for n, s in self._plan.shapes.items() if self._plan.is_input(n)}
            inputs = fixed | self._chosen
            if any(-1 in shape for shape in inputs.values()):
                return self._plan.shapes | inputs
            return self._plan.output_shapes(inputs)

        def set_binding_shape(self, binding, shape):
            name = self._engine._name(binding)
            if binding // len(self._plan.names) != self._profile:
                error(self._logger, f"binding {binding} is not of the active profile")
                return False
            return self._choose(name, shape)

        def get_binding_shape(self, binding):
            return _Dims(self._sizes()[self._engine._name(binding)])

        def set_input_shape(self, name, shape):
            if not self._plan.is_input(name):
                error(self._logger, f"{name} is no input")
                return False
            return self._choose(name, shape)

        def get_tensor_shape(self, name):
            return _Dims(self._sizes()[name])

        def set_tensor_address(self, name, memory):
            if name not in self._plan.names:
                error(self._logger, f"there is no tensor {name}")
                return False
            self._addresses[name] = integer(memory, "an address")
            return True

        def execute_async_v2(self, bindings, stream_handle):
            if len(bindings) != self._engine._bindings:
                gpu.fault(
                    f"{len(bindings)} bindings given, the engine has {self._engine._bindings}"
                )
            start = self._profile * len(self._plan.names)
            given = bindings[start : start + len(self._plan.names)]
            return self._enqueue(dict(zip(self._plan.names, given, strict=True)), stream_handle)

        def execute_async_v3(self, stream_handle):
            return self._enqueue(dict(self._addresses), stream_handle)

        def _enqueue(self, addresses, stream_handle):
            stream = gpu.stream(integer(stream_handle, "a stream's handle"))
            sizes = self._sizes()
            try:
                gpu.called("enqueue")
            except Exception as refusal:
                error(self._logger, f"enqueue: {refusal}")
                return False
            if any(-1 in sizes[value.name] for value in self._plan.inputs):
                error(self._logger, "not all input shapes were given")
                return False
            if stream.capture is not None:
                if not self._plan.note["capturable"]:
                    error(self._logger, "the engine cannot be captured")
                    return False
                if self._warm != sizes:
                    gpu.fault("the first run of new shapes is captured, with all its setting up")
            self._warm = sizes
            for name in self._plan.names:
                _tensor_bytes(gpu, self._plan, name, sizes, addresses)
            touched = tuple(gpu.block(addresses[name]) for name in self._plan.names)
            plan, owner = self._plan, weakref.ref(self)  # work keeps no context alive
            profiler = self._profiler if self._emits_profile else None

            def work():
                context = owner()
                if context is None:
                    gpu.fault("the execution context was destroyed before its work was done")
                if context._warm != sizes:
                    gpu.fault("a run of other shapes is launched again")
                _execute(gpu, plan, sizes, addresses, profiler)

            gpu.submit(stream_handle, operation("the engine", work, touched, ms=1.0))
            return True

    def init_libnvinfer_plugins(logger, namespace):
        initialized(logger, ILogger)
        return True

    trt.init_libnvinfer_plugins = init_libnvinfer_plugins
    add_builder(
        *(trt, offered),
        gpu=gpu,
        release=release,
        error=error,
        initialized=initialized,
        engine_bytes=engine_bytes,
    )
    return trt, living


def _tensor_bytes(gpu, plan, name, sizes, addresses):
    count = int(np.prod(sizes[name], dtype=np.int64)) * _BYTES[plan.types[name]]
    if not addresses.get(name):
        gpu.fault(f"tensor {name} has no address")
    return gpu.on_device(addresses[name], count, f"tensor {name}")


def _execute(gpu, plan, sizes, addresses, profiler):
    feeds = {}
    for value in plan.inputs:
        content = _tensor_bytes(gpu, plan, value.name, sizes, addresses).copy()
        kind = _numpy(plan.types[value.name])
        feeds[value.name] = content.view(kind).reshape(sizes[value.name])
    for value, result in zip(plan.outputs, plan.compute(feeds), strict=True):
        target = _tensor_bytes(gpu, plan, value.name, sizes, addresses)
        target[...] = np.frombuffer(result.tobytes(), np.uint8)
    if profiler is not None:
        for number, node in enumerate(plan.model.graph.node):
            profiler.report_layer_time(node.name or node.op_type, 0.25 + number)
