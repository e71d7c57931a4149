"""The building side of the simulated TensorRT: parser, network, configuration, builder.

The parser takes what ONNX's checker and shape inference take, but for the operators of
``REFUSED``; the engine is the ONNX model. A layer stands for a node. What precision a layer got
is told by the inspector: that of its type in a strongly typed network; otherwise fp16 under the
flag, but for layers that were set to fp32 while constraints are obeyed.
"""

from __future__ import annotations

import onnx
from onnx import shape_inference

REFUSED = {"NonMaxSuppression", "Unique", "Bernoulli"}


def add_builder(trt, offered, *, gpu, release, error, initialized, engine_bytes):
    """Put the classes of the building side into the module."""
    before_ten = release.startswith("8.")
    strong_only = release.startswith(("11.", "rtx-"))

    @offered
    class IProgressMonitor:
        def __init__(self):
            self._initialized = True

        def phase_start(self, phase_name, parent_phase, num_steps):
            raise RuntimeError("a pure virtual function was called")

        def phase_finish(self, phase_name):
            raise RuntimeError("a pure virtual function was called")

        def step_complete(self, phase_name, step_number):
            raise RuntimeError("a pure virtual function was called")

    class Memory:
        def __init__(self, content):
            self._content = content

        def __bytes__(self):
            return self._content

        @property
        def nbytes(self):
            return len(self._content)

    @offered
    class ITensor:
        def __init__(self, name, kind):
            self._name, self._kind = name, kind

        @property
        def name(self):
            return self._name

        @property
        def dtype(self):
            return self._kind

    @offered
    class ILayer:
        def __init__(self, node, kinds):
            self._node = node
            float32 = trt.DataType.FLOAT
            self._outputs = [ITensor(name, kinds.get(name, float32)) for name in node.output]
            self._precision = None
            self._output_types = {}

        @property
        def name(self):
            return self._node.name

        @property
        def metadata(self):
            return f"[ONNX Layer: {self._node.name}]"

        @property
        def precision(self):
            return self._precision

        @precision.setter
        def precision(self, kind):
            self._precision = trt.DataType(kind)

        @property
        def num_outputs(self):
            return len(self._outputs)

        def get_output(self, index):
            return self._outputs[index]

        def set_output_type(self, index, dtype):
            self._output_types[index] = trt.DataType(dtype)

    @offered
    class INetworkDefinition:
        def __init__(self, flags, logger):
            self._flags, self._logger = flags, logger
            self._layers, self._model = [], None

        @property
        def num_layers(self):
            return len(self._layers)

        def get_layer(self, index):
            return self._layers[index]

    @offered
    class ParserError:
        def __init__(self, index, node, code, words):
            self._index, self._node, self._code, self._words = index, node, code, words

        def node(self):
            return self._index

        def node_name(self):
            return self._node.name if self._node else ""

        def node_operator(self):
            return self._node.op_type if self._node else ""

        def code(self):
            return self._code

        def desc(self):
            return self._words

    @offered
    class OnnxParser:
        def __init__(self, network, logger):
            initialized(logger, trt.ILogger)
            self._network, self._errors, self._raised = network, [], set()

        def set_flag(self, flag):
            self._raised.add(trt.OnnxParserFlag(flag))

        @property
        def num_errors(self):
            return len(self._errors)

        def get_error(self, index):
            return self._errors[index]

        def parse(self, model):
            codes = trt.ErrorCode
            if before_ten and not self._network._flags & 1 << int(_explicit_batch()):
                self._refuse(-1, None, codes.INVALID_GRAPH, "explicit batch is required")
                return False
            try:
                loaded = onnx.load_model_from_string(bytes(model))
                onnx.checker.check_model(loaded)
            except Exception as failure:
                words = " ".join(str(failure).split())
                self._refuse(-1, None, codes.MODEL_DESERIALIZE_FAILED, words)
                return False
            for index, node in enumerate(loaded.graph.node):
                if node.op_type in REFUSED or node.domain not in ("", "ai.onnx"):
                    words = f"No importer registered for op: {node.op_type}"
                    self._refuse(index, node, codes.UNSUPPORTED_NODE, words)
            if self._errors:
                return False
            kinds = _kinds(loaded)
            self._network._model = loaded
            self._network._layers = [ILayer(node, kinds) for node in loaded.graph.node]
            return True

        def _refuse(self, *what):
            self._errors.append(ParserError(*what))

    def _explicit_batch():
        return trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH

    def _kinds(model):
        """TensorRT's type of each tensor; 32 bits stand for 64 before TensorRT 10."""
        names = {1: "FLOAT", 10: "HALF", 16: "BF16", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL"}
        graph = shape_inference.infer_shapes(model).graph
        kinds = {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            name = names.get(value.type.tensor_type.elem_type)
            if name == "INT64" and not hasattr(trt.DataType, "INT64"):
                name = "INT32"
            if name and hasattr(trt.DataType, name):
                kinds[value.name] = trt.DataType[name]
        return kinds

    @offered
    class IOptimizationProfile:
        def __init__(self):
            self._shapes = {}

        def set_shape(self, input, min, opt, max):
            for shape in (min, opt, max):
                if not isinstance(shape, tuple | list):
                    raise TypeError("set_shape(): incompatible function arguments")
            self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]

        def get_shape(self, input):
            return self._shapes[input]

    @offered
    class ITimingCache:
        def __init__(self, entries):
            self._entries = entries

        def combine(self, input_cache, ignore_mismatch):
            self._entries = sorted({*self._entries, *input_cache._entries})
            return True

        def serialize(self):
            return Memory("\n".join([f"timings {release}", *self._entries]).encode())

    def _settings(**initial):
        """Plain attributes that the release has: properties, so that others stay absent."""

        def one(key, value):
            def get(self):
                return self._set.get(key, value)

            def put(self, new):
                self._set[key] = new

            return property(get, put)

        return {key: one(key, value) for key, value in initial.items()}

    class _Config:
        def __init__(self, logger):
            self._logger = logger
            self._set, self._raised, self._profiles = {}, set(), []
            self._timings = None
            self._pools, self._targets = {}, {}

        def set_flag(self, flag):
            self._raised.add(trt.BuilderFlag(flag))

        def clear_flag(self, flag):
            self._raised.discard(trt.BuilderFlag(flag))

        def get_flag(self, flag):
            return trt.BuilderFlag(flag) in self._raised

        def set_memory_pool_limit(self, pool, pool_size):
            self._pools[trt.MemoryPoolType(pool)] = int(pool_size)

        def get_memory_pool_limit(self, pool):
            return self._pools[trt.MemoryPoolType(pool)]

        def add_optimization_profile(self, profile):
            for name, (least, usual, most) in profile._shapes.items():
                if not all(a <= b <= c for a, b, c in zip(least, usual, most, strict=True)):
                    error(self._logger, f"profile of {name}: {least}, {usual}, {most}")
                    return -1
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache):
            head, *entries = bytes(serialized_timing_cache).decode().split("\n")
            if head and head != f"timings {release}":
                error(self._logger, "the timing cache is of another version")
                return None
            return ITimingCache(entries)

        def set_timing_cache(self, cache, ignore_mismatch):
            self._timings = cache
            return True

        def get_timing_cache(self):
            return self._timings

        def set_compute_capability(self, compute_capability, index):
            assert index < self.num_compute_capabilities
            self._targets[index] = trt.ComputeCapability(compute_capability)

    settings = _settings(
        max_workspace_size=0,
        builder_optimization_level=3,
        hardware_compatibility_level=None,
        default_device_type=trt.DeviceType.GPU,
        DLA_core=-1,
        profiling_verbosity=None,
        progress_monitor=None,
        num_compute_capabilities=0,
    )
    members = {k: v for k, v in vars(_Config).items() if k not in ("__dict__", "__weakref__")}
    config_class = offered(type("IBuilderConfig", (), members | settings))

    @offered
    class Builder:
        def __init__(self, logger):
            self._logger = initialized(logger, trt.ILogger)

        @property
        def num_DLA_cores(self):  # noqa: N802 - TensorRT's spelling
            return 2

        def create_builder_config(self):
            return config_class(self._logger)

        def create_network(self, flags=0):
            if not isinstance(flags, int):
                raise TypeError("create_network(): incompatible function arguments")
            known = trt.NetworkDefinitionCreationFlag
            if flags >> (max(int(flag) for flag in known) + 1):
                gpu.fault(f"create_network got flags that {release} does not know")
            return INetworkDefinition(flags, self._logger)

        def create_optimization_profile(self):
            return IOptimizationProfile()

        def build_serialized_network(self, network, config):
            model = network._model
            constants = {tensor.name for tensor in model.graph.initializer}
            for value in model.graph.input:
                dims = value.type.tensor_type.shape.dim
                if value.name in constants or all(dim.HasField("dim_value") for dim in dims):
                    continue
                shapes = [profile._shapes for profile in config._profiles]
                if not shapes or any(value.name not in named for named in shapes):
                    error(
                        self._logger,
                        "Network has dynamic or shape inputs, but no optimization profile has "
                        "been defined.",
                    )
                    return None
            monitor = config._set.get("progress_monitor")
            if monitor is not None and not _watched(monitor, network):
                error(self._logger, "the build was cancelled by the progress monitor")
                return None
            if config._timings is not None:
                config._timings._entries = sorted(
                    {*config._timings._entries, *(node.op_type for node in model.graph.node)}
                )
            compatible = "VERSION_COMPATIBLE" in {flag.name for flag in config._raised}
            return Memory(
                engine_bytes(
                    model.SerializeToString(),
                    release=release,
                    profiles=[profile._shapes for profile in config._profiles],
                    version_compatible=compatible,
                    layers=_layers(network, config),
                )
            )

    def _watched(monitor, network):
        initialized(monitor, IProgressMonitor)
        monitor.phase_start("Building", None, len(network._layers))
        for number in range(len(network._layers)):
            if not monitor.step_complete("Building", number):
                return False
        monitor.phase_finish("Building")
        return True

    def _layers(network, config):
        """What the inspector tells under detailed verbosity; else names."""
        raised = {flag.name for flag in config._raised}
        known = trt.NetworkDefinitionCreationFlag
        strong = strong_only or (
            hasattr(known, "STRONGLY_TYPED") and network._flags & 1 << int(known.STRONGLY_TYPED)
        )
        obeyed = raised & {"OBEY_PRECISION_CONSTRAINTS", "STRICT_TYPES"}
        verbosity = config._set.get("profiling_verbosity")
        if verbosity is None or verbosity.name not in ("DETAILED", "VERBOSE"):
            return [layer.name for layer in network._layers]
        told = []
        for layer in network._layers:
            kind = layer._outputs[0]._kind.name
            if kind == "FLOAT" and not strong and "FP16" in raised:
                kept = layer._precision is not None and layer._precision.name == "FLOAT" and obeyed
                kind = "FLOAT" if kept else "HALF"
            precision = {"FLOAT": "FP32", "HALF": "FP16"}.get(kind, kind.title())
            told.append(
                {
                    "Name": layer._node.name,
                    "LayerType": layer._node.op_type,
                    "Inputs": [],
                    "Outputs": [
                        {
                            "Name": name,
                            "Dimensions": [],
                            "Format/Datatype": f"Row major linear {precision} format",
                        }
                        for name in layer._node.output
                    ],
                    **({"Metadata": layer.metadata} if hasattr(layer, "metadata") else {}),
                }
            )
        return told
