"""Small ONNX models for the tests of the runtime."""

from __future__ import annotations

import functools
import gc
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def _serialized(nodes, inputs, outputs, initializers=(), *, opset=17, ir_version=8):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )
    return model.SerializeToString()


@pytest.fixture
def make_model():
    """Serializes a graph: ``make_model(nodes, inputs, outputs, initializers)``."""
    return _serialized


@pytest.fixture
def conv_model():
    """``y = relu(conv3x3(x))``: x n 2 h w with dynamic n, h, w; weights seeded."""
    weights = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    return _serialized(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, "h", "w"])],
        [numpy_helper.from_array(weights, "w")],
    )


@pytest.fixture
def external_model():
    """``y = x + w``, w of 4 floats in another file: ``external_model(location)``."""

    def make(location):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        value = helper.make_tensor_value_info
        return _serialized(
            [helper.make_node("Add", ["x", "w"], ["y"])],
            [value("x", TensorProto.FLOAT, [4])],
            [value("y", TensorProto.FLOAT, [4])],
            [tensor],
        )

    return make


@pytest.fixture(scope="session")
def simulators():
    """The simulated CUDA and TensorRT (files beside this one), and the tables they follow."""
    folder = Path(__file__).parent

    def load(name):
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    def table(name):
        return json.loads((folder / "data" / name).read_text())

    tensorrt = load("simulated_tensorrt")
    return types.SimpleNamespace(
        cuda=load("simulated_cuda"),
        tensorrt=tensorrt,
        builder=load("simulated_builder"),
        walker=load("api_walker"),
        api=tensorrt.Api(table("tensorrt_api.json")),
        cuda_api=table("cuda_api.json"),
    )


class Simulation:
    """A simulated GPU and TensorRT of one release, importable until the test ends.

    ``engine`` makes a serialized engine of an ONNX model; ``living`` counts TensorRT's objects.
    """

    MODULES = (
        *("tensorrt", "tensorrt_rtx", "pycuda", "pycuda.driver", "pycuda.autoprimaryctx"),
        *("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart"),
    )

    def __init__(self, parts, release, cuda, integrated):
        self.release = release
        self.gpu = parts.cuda.Gpu(integrated=integrated)
        self.trt, self.living = parts.tensorrt.make_tensorrt(
            *(self.gpu, parts.api, release, parts.builder.add_builder, parts.cuda.Operation)
        )
        self.engine = functools.partial(parts.tensorrt.engine_bytes, release=release)
        self.modules = {self.trt.__name__: self.trt}
        for package in cuda:
            self._install(parts, package)

    def _install(self, parts, package):
        if package == "pycuda":
            self.modules |= parts.cuda.pycuda_modules(self.gpu, parts.cuda_api["pycuda"])
            return
        parents = ("cuda",) if package == "cuda-python 12.3.0" else ("cuda", "cuda.bindings")
        for parent in parents:
            self.modules[parent] = types.ModuleType(parent)
            self.modules[parent].__path__ = []
        name = "cuda.cudart" if len(parents) == 1 else "cuda.bindings.runtime"
        names = parts.cuda_api["cuda-python"][package]
        self.modules[name] = parts.cuda.cuda_python_module(self.gpu, names, name)

    def left(self):
        """What is wrong or was left over: faults, memory, streams, TensorRT's objects."""
        objects = {kind: count for kind, count in self.living.items() if count}
        return self.gpu.faults, self.gpu.leaks(), objects


@pytest.fixture
def simulate(simulators, monkeypatch):
    """Make ``simulate(release, cuda=..., integrated=...)`` importable for the test.

    At the test's end nothing may be wrong or left over, unless it was made ``forgiving``.
    """
    from edgeup.runtime.engine.bindings_library import find_library

    made = []

    def make(release="10.3.0", *, cuda=("pycuda",), integrated=False, forgiving=False):
        simulation = Simulation(simulators, release, cuda, integrated)
        for name in Simulation.MODULES:  # None: as if it were not installed
            monkeypatch.setitem(sys.modules, name, simulation.modules.get(name))
        find_library.cache_clear()
        if not forgiving:
            made.append(simulation)
        return simulation

    yield make
    find_library.cache_clear()
    gc.collect()  # an exception that a test caught holds the frames that it passed, and they much
    for simulation in made:
        assert simulation.left() == ([], {}, {})
