"""Faults planted in the code that runs engines: the simulated GPU must notice each.

A test that nothing can fail proves nothing. Each mutant is the real source with one change; the
unchanged source goes through the same exercise and passes.
"""

from __future__ import annotations

import gc
import importlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.ort_session import run_once

PACKAGE = "edgeup.runtime.engine"
PARTS = ["bindings_cuda", "bindings_tensorrt_run", "buffers", "loaded", "session"]
"""In the order of imports: each is loaded anew on top of those before it."""

LIMITS = {"x": [[1, 2, 4, 4], [1, 2, 8, 8], [2, 2, 16, 16]]}
LARGE = {"x": [[1, 2, 16, 16], [1, 2, 32, 32], [1, 2, 32, 32]]}

MUTANTS = {
    "outputs are read before the GPU is done": (
        "loaded",
        "        self._download()\n        self.cuda.synchronize(self._stream)\n",
        "        self._download()\n",
    ),
    "outputs are views of freed memory": (
        "loaded",
        "host(tensor.name).copy()",
        "host(tensor.name)",
    ),
    "outputs are not copied back": (
        "loaded",
        "            self._buffers.download(tensor.name, self._stream)\n",
        "            pass\n",
    ),
    "inputs are not copied in": (
        "loaded",
        "            self._buffers.upload(name, self._stream)\n",
        "",
    ),
    "buffers grow while work uses them": (
        "session",
        "            loaded.wait()\n            return BoundEngineRun",
        "            return BoundEngineRun",
    ),
    "new shapes are not told to TensorRT": (
        "loaded",
        "            self._choose_shape(self._context, name, shape)\n        for tensor",
        "            pass\n        for tensor",
    ),
    "buffers keep their first size": (
        "buffers",
        "if name in self._buffers and self._buffers[name].nbytes >= nbytes:",
        "if name in self._buffers:",
    ),
    "buffers are counted in elements": ("buffers", " * kind.itemsize)", ")"),
    "a graph outlives its shapes": (
        "loaded",
        "        self._drop_graph()\n        for name, shape in shapes",
        "        for name, shape in shapes",
    ),
    "a graph's capture holds TensorRT's setting up": (
        "loaded",
        "        self._enqueue(self._context)\n        graphs.synchronize(self._stream)\n",
        "",
    ),
    "a failed capture leaves the stream capturing": (
        "loaded",
        "                graphs.free_graph(graphs.end_capture(self._stream))",
        "                pass",
    ),
    "graphs are not freed": (
        "loaded",
        "            self._graphs.free_graph(graph)",
        "            pass",
    ),
    "device memory is not freed": (
        "buffers",
        "                self._cuda.free(buffer.address)",
        "                pass",
    ),
    "page-locked memory is not freed": (
        "buffers",
        "        finally:\n            self._cuda.free_host(buffer.host)",
        "        finally:\n            pass",
    ),
    "page-locked memory is freed twice": (
        "buffers",
        "        finally:\n            self._cuda.free_host(buffer.host)",
        "        finally:\n            self._cuda.free_host(buffer.host)\n"
        "            self._cuda.free_host(buffer.host)",
    ),
    "the stream is not freed": (
        "loaded",
        "        stack.callback(self.cuda.free_stream, self._stream)\n",
        "",
    ),
    "memory is freed under running work": (
        "loaded",
        "        stack.callback(self.cuda.synchronize, self._stream)\n",
        "",
    ),
    "an error leaves the session open": (
        "session",
        "                    self.close()\n",
        "                    pass\n",
    ),
    "zero copy gets memory that is not mapped": (
        "bindings_cuda",
        "flags = self._drv.host_alloc_flags.DEVICEMAP if mapped else 0",
        "flags = 0",
    ),
    "no context is current": (
        "bindings_cuda",
        "            self._context.push()",
        "            pass",
    ),
    "a context stays current": (
        "bindings_cuda",
        "            self._context.pop()",
        "            pass",
    ),
    "the GPU gets the host's address": (
        "bindings_cuda",
        "            return HostBuffer(array, int(owner.get_device_pointer()) if mapped else None)",
        "            return HostBuffer(array, array.ctypes.data if mapped else None)",
    ),
    "copies go the wrong way": (
        "bindings_cuda",
        "        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost\n",
        "        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice\n",
    ),
    "events are not freed": (
        "bindings_cuda",
        '        self._call("free an event", self._rt.cudaEventDestroy(event))',
        "        pass",
    ),
    "the handle's class is passed on": (
        "bindings_cuda",
        "return int(memory)",
        "return memory",
    ),
    "the first profile's bindings are used for all": (
        "bindings_tensorrt_run",
        "        return int(self._profile * self._count + self._index[name])",
        "        return int(self._index[name])",
    ),
    "the index API is spoken to a TensorRT without it": (
        "bindings_tensorrt_run",
        '    if hasattr(engine, "num_io_tensors"):\n',
        '    if not hasattr(engine, "num_io_tensors"):\n',
    ),
    "inputs are taken for outputs": (
        "bindings_tensorrt_run",
        "== self._trt.TensorIOMode.INPUT",
        "== self._trt.TensorIOMode.OUTPUT",
    ),
    "a tensor's address is not set": (
        "bindings_tensorrt_run",
        "        for name, address in addresses.items():\n            if not context",
        "        for name, address in list(addresses.items())[1:]:\n            if not context",
    ),
    "a refused run is taken for a good one": (
        "bindings_tensorrt_run",
        "        return bool(context.execute_async_v3(stream))",
        "        context.execute_async_v3(stream)\n        return True",
    ),
    "half is taken for float": ("bindings_tensorrt_run", '"HALF": "float16"', '"HALF": "float32"'),
    "the profiler's base is not initialized": (
        "bindings_tensorrt_run",
        "            trt.IProfiler.__init__(self)",
        "            pass",
    ),
}


def mutated(monkeypatch, part="", old="", new=""):
    """The session class, from sources of which one may be changed."""
    package = importlib.import_module(PACKAGE)
    for name in PARTS:
        original = importlib.import_module(f"{PACKAGE}.{name}")
        source = Path(original.__file__).read_text(encoding="utf-8")
        if name == part:
            assert source.count(old) == 1, f"{part} holds {old!r} {source.count(old)} times"
            source = source.replace(old, new)
        module = types.ModuleType(f"{PACKAGE}.{name}")
        module.__file__ = original.__file__
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(package, name, module)
        exec(compile(source, original.__file__, "exec"), module.__dict__)
    return sys.modules[f"{PACKAGE}.session"], sys.modules[f"{PACKAGE}.loaded"].RunOptions


def picture(size, seed):
    return {"x": np.random.default_rng(seed).normal(size=(1, 2, size, size)).astype(np.float32)}


def exercise(simulate, session_class, options_class, model):
    """Sessions of every kind; raises, or finds something left over, where anything is wrong."""
    kinds = [
        ("10.3.0", "pycuda", {}),
        ("8.2.1", "pycuda", {"profile": 1}),
        ("8.6.1", "pycuda", {"zero_copy": True}),
        ("10.3.0", "cuda-bindings 12.9.10", {"cuda_graph": True}),
    ]
    for release, package, options in kinds:
        sim = simulate(release, cuda=(package,), integrated=True, forgiving=True)
        engine = sim.engine(model, profiles=[LIMITS, LARGE])
        session = session_class(engine, options=options_class(**options))
        low, high = (16, 32) if options.get("profile") else (8, 16)
        session.bind(picture(low, 8))
        kept = []
        for seed, size in enumerate((high, low, low, high)):
            kept.append((session.run(picture(size, seed))["y"], picture(size, seed)))
        bound = session.bind(picture(low, 9))
        bound()
        assert bound.gpu_ms() > 0
        assert set(session.layer_times(picture(low, 9), 1)) == {"Conv", "Relu"}
        session.close()
        for got, feeds in kept:
            np.testing.assert_allclose(got, run_once(model, feeds)["y"], rtol=1e-5, atol=1e-6)
        assert sim.left() == ([], {}, {})
        fails_well(sim, session_class, options_class(**options), engine, picture(low, 0))


def fails_well(sim, session_class, options, engine, feeds):
    """An error in the middle: reported, and nothing is left."""
    for call in ("enqueue", "copy_out", "begin_capture"):
        if not options.cuda_graph and call == "begin_capture":
            continue
        if options.zero_copy and call == "copy_out":
            continue
        session = session_class(engine, options=options)
        sim.gpu.refuse(call, after=1 if options.cuda_graph and call == "enqueue" else 0)
        with pytest.raises(EdgeupError, match="out of memory"):
            session.run(feeds)
        gc.collect()  # the caught error holds frames
        assert sim.left() == ([], {}, {}), call


def halves(simulate, session_class, make_half):
    sim = simulate(forgiving=True)
    session = session_class(sim.engine(make_half))
    assert session.run({"x": np.ones(4, np.float16)})["y"].tolist() == [2.0] * 4


@pytest.fixture
def half_model(make_model):
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, [4]) for name in "xy"]
    return make_model([helper.make_node("Add", ["x", "x"], ["y"])], values[:1], values[1:])


def test_the_unchanged_source_passes(simulate, monkeypatch, conv_model, half_model):
    session, options = mutated(monkeypatch)
    exercise(simulate, session.TensorRTSession, options, conv_model)
    halves(simulate, session.TensorRTSession, half_model)


# A fault inside __del__ cannot be raised; it is kept, and the exercise finds it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", MUTANTS)
def test_a_planted_fault_is_noticed(simulate, monkeypatch, conv_model, half_model, fault):
    session, options = mutated(monkeypatch, *MUTANTS[fault])
    noticed = (AssertionError, pytest.fail.Exception, EdgeupError, LookupError, ValueError)
    noticed += (AttributeError, TypeError)
    with pytest.raises(noticed):  # noqa: PT012 - one exercise in two parts
        exercise(simulate, session.TensorRTSession, options, conv_model)
        halves(simulate, session.TensorRTSession, half_model)
