"""The simulated TensorRT and CUDA forgive nothing: what the tests of engines stand on."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def gpu(simulate):
    return simulate(forgiving=True).gpu


def forbidden(words):
    """A fault: raised, and kept in case that someone swallows it."""
    return pytest.raises(AssertionError, match=words)


def test_a_release_has_its_own_names(simulate):
    old, both, new = (simulate(release).trt for release in ("8.2.1", "8.6.1", "10.3.0"))
    assert not hasattr(old.IExecutionContext, "execute_async_v3")
    assert hasattr(both.IExecutionContext, "execute_async_v2")
    assert hasattr(both.IExecutionContext, "execute_async_v3")
    assert not hasattr(new.IExecutionContext, "execute_async_v2")
    assert not hasattr(new.ICudaEngine, "num_bindings")
    assert not hasattr(old.DataType, "INT64")
    assert not hasattr(old, "TensorIOMode")
    assert hasattr(new.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    assert not hasattr(simulate("11.0").trt.BuilderFlag, "FP16")


def test_what_a_release_lacks_cannot_be_set(simulate):
    trt = simulate("10.3.0").trt

    class Logger(trt.ILogger):
        def log(self, severity, msg):
            pass

    config = trt.Builder(Logger()).create_builder_config()
    config.builder_optimization_level = 4
    with pytest.raises(AttributeError, match="no attribute 'max_workspace_size'"):
        config.max_workspace_size = 1 << 20
    with pytest.raises(AttributeError):
        config.optimization_level = 4


def test_the_simulation_invents_no_names(simulators):
    class Stream:
        def wait(self):
            pass

    with pytest.raises(AssertionError, match="pycuda's Stream has no wait"):
        simulators.cuda.strict(Stream, ["synchronize"], "pycuda's Stream")


def test_nothing_happens_before_the_stream_is_synchronized(gpu):
    stream, address = gpu.create_stream(), gpu.alloc(4)
    host = gpu.alloc_host(4, mapped=False)
    host[...] = [1, 2, 3, 4]
    gpu.copy_in(address, host.ctypes.data, 4, stream)
    host[...] = [5, 6, 7, 8]  # too early: the copy was not waited for
    gpu.synchronize(stream)
    assert gpu.device[address].tolist() == [5, 6, 7, 8]


def test_memory_that_is_freed_under_work(gpu):
    stream, address = gpu.create_stream(), gpu.alloc(4)
    host = gpu.alloc_host(4, mapped=False)
    gpu.copy_in(address, host.ctypes.data, 4, stream)
    with forbidden("device memory is freed while copy_in may be using it"):
        gpu.free(address)
    with forbidden("page-locked memory is freed while copy_in"):
        gpu.free_host(host.ctypes.data)
    with forbidden("a stream is destroyed with work on it"):
        gpu.free_stream(stream)
    assert len(gpu.faults) == 3


def test_memory_that_is_gone(gpu):
    stream, address = gpu.create_stream(), gpu.alloc(4)
    host = gpu.alloc_host(4, mapped=False)
    gpu.free(address)
    with forbidden("a copy to the device got .* no such memory"):
        gpu.copy_in(address, host.ctypes.data, 4, stream)
    with forbidden("is no device memory"):
        gpu.free(address)
    gpu.free_host(host.ctypes.data)
    assert host.tolist() == [0xA5] * 4


def test_wrong_addresses_and_sizes(gpu):
    stream, address = gpu.create_stream(), gpu.alloc(4)
    host = gpu.alloc_host(8, mapped=False)
    with forbidden("takes 8 bytes at an address that has 4"):
        gpu.copy_in(address, host.ctypes.data, 8, stream)
    with forbidden("no such memory"):
        gpu.copy_in(host.ctypes.data, host.ctypes.data, 4, stream)
    pageable = np.zeros(4, np.uint8)
    with forbidden("no such memory"):
        gpu.copy_in(address, pageable.ctypes.data, 4, stream)


def test_capturing(gpu):
    stream = gpu.create_stream()
    gpu.begin_capture(stream)
    with forbidden("allocate memory while a graph is captured"):
        gpu.alloc(4)
    with forbidden("synchronize while a graph is captured"):
        gpu.synchronize(stream)
    graph = gpu.end_capture(stream)
    gpu.free_graph(graph)
    with forbidden("is no graph"):
        gpu.launch(graph, stream)


def test_what_is_left_is_told(simulate, conv_model):
    sim = simulate(forgiving=True)
    sim.gpu.alloc(4)
    sim.gpu.alloc_host(4, mapped=True)
    sim.gpu.create_stream()
    sim.gpu.create_event()
    sim.gpu.push()
    assert sim.gpu.leaks() == {"device": 1, "host": 1, "streams": 1, "events": 1, "pushed": 1}
    sim.gpu.pop()
    with pytest.raises(AssertionError, match="not pushed on this thread"):
        sim.gpu.pop()
