"""Sessions of engines, end to end on a simulated TensorRT and CUDA (see simulated_cuda.py)."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.runtime.engine.loaded import RunOptions
from edgeup.runtime.engine.session import TensorRTSession
from edgeup.runtime.ort_session import run_once
from edgeup.spec import TensorSpec

RELEASES = ["8.0.1", "8.2.1", "8.4.1", "8.5.3", "8.6.1", "10.0.1", "10.3.0", "10.13.3", "11.0"]
CUDA = ["pycuda", "cuda-bindings 11.8.7", "cuda-python 12.3.0", "cuda-bindings 13.5.0"]
LIMITS = {"x": [[1, 2, 4, 4], [1, 2, 8, 8], [2, 2, 16, 16]]}
VALUE = helper.make_tensor_value_info


def picture(n=1, h=8, w=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2, h, w)).astype(np.float32)


def same(session, model, **feeds):
    outputs = session.run(feeds)
    wanted = run_once(model, feeds)
    assert list(outputs) == list(wanted)
    for name, array in wanted.items():
        assert array.std() > 0
        np.testing.assert_allclose(outputs[name], array, rtol=1e-5, atol=1e-6)
    return outputs


@pytest.mark.parametrize("release", RELEASES)
def test_runs_through_every_generation_of_bindings(simulate, conv_model, release):
    sim = simulate(release)
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        assert session.inputs == (TensorSpec("x", ("?", 2, "?", "?")),)
        assert session.outputs == (TensorSpec("y", ("?", 4, "?", "?")),)
        for seed, (n, h, w) in enumerate([(1, 8, 8), (1, 8, 8), (2, 16, 16), (1, 4, 6)]):
            same(session, conv_model, x=picture(n, h, w, seed))


@pytest.mark.parametrize("package", CUDA)
def test_runs_through_every_cuda_package(simulate, conv_model, package):
    sim = simulate(cuda=(package,))
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        same(session, conv_model, x=picture())


@pytest.mark.parametrize("package", CUDA)
@pytest.mark.parametrize("integrated", [False, True])
def test_memory_of_the_gpu(simulate, conv_model, package, integrated):
    sim = simulate("11.1", cuda=(package,), integrated=integrated)
    session = TensorRTSession(sim.engine(conv_model, profiles=[LIMITS]))
    with session:
        session.run({"x": picture()})
        used = session.device_memory()
        assert (used.free_before, used.total, used.shared) == (8 << 30, 8 << 30, integrated)
        assert used.activations == 1 << 20
        assert used.weights == sim.gpu.reserved - used.activations > 0
        assert used.buffers == sum(array.nbytes for array in sim.gpu.device.values()) > 0
        of_host = used.buffers if integrated else 0
        assert used.taken == used.activations + used.weights + used.buffers + of_host
        session.run({"x": picture(2, 16, 16)})
        more = session.device_memory()
        assert more.buffers > used.buffers
        assert more.taken > used.taken
        sim.gpu.refuse("memory_info", words="device lost")
        with pytest.raises(EdgeupError, match="CUDA cannot tell its free memory: device lost"):
            session.device_memory()
    with pytest.raises(EdgeupError, match="closed before this run"):
        session.device_memory()


def test_tensorrt_for_rtx(simulate, conv_model):
    sim = simulate("rtx-1.7.1")
    engine = sim.engine(conv_model, profiles=[LIMITS])
    with TensorRTSession(engine, options=RunOptions(rtx=True)) as session:
        same(session, conv_model, x=picture())


def test_outputs_outlive_the_session_and_later_runs(simulate, conv_model):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        first = session.run({"x": picture()})["y"]
        kept = first.copy()
        session.run({"x": picture(seed=1)})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("release", ["8.2.1", "8.6.1", "10.3.0"])
def test_another_profile(simulate, conv_model, release):
    sim = simulate(release)
    large = {"x": [[1, 2, 32, 32], [1, 2, 32, 32], [1, 2, 64, 64]]}
    engine = sim.engine(conv_model, profiles=[LIMITS, large])
    with TensorRTSession(engine, options=RunOptions(profile=1)) as session:
        same(session, conv_model, x=picture(1, 40, 48))
        with pytest.raises(EdgeupError, match="got shape 1x2x8x8, and was built for 1x2x32x32 to"):
            session.run({"x": picture()})
    with pytest.raises(EdgeupError, match="profiles 0 to 1, not 2"):
        TensorRTSession(engine, options=RunOptions(profile=2))


@pytest.mark.parametrize("release", ["8.2.1", "10.3.0"])
@pytest.mark.parametrize("package", ["pycuda", "cuda-bindings 12.9.10"])
def test_zero_copy_copies_nothing(simulate, conv_model, release, package):
    sim = simulate(release, cuda=(package,), integrated=True)
    engine = sim.engine(conv_model, profiles=[LIMITS])
    with TensorRTSession(engine, options=RunOptions(zero_copy=True)) as session:
        same(session, conv_model, x=picture())
        same(session, conv_model, x=picture(2, 16, 16, seed=1))
    assert not {"copy_in", "copy_out", "alloc"} & set(sim.gpu.calls)


def test_zero_copy_wants_an_integrated_gpu(simulate, conv_model):
    sim = simulate(integrated=False)
    engine = sim.engine(conv_model, profiles=[LIMITS])
    with pytest.raises(EdgeupError, match="zero copy is for a GPU that shares the CPU's memory"):
        TensorRTSession(engine, options=RunOptions(zero_copy=True))


@pytest.mark.parametrize("release", ["8.2.1", "8.5.3", "10.3.0"])
@pytest.mark.parametrize("package", CUDA[1:])
def test_cuda_graph_is_recorded_once_per_shape(simulate, conv_model, release, package):
    sim = simulate(release, cuda=("pycuda", package))  # pycuda is there, and cannot
    engine = sim.engine(conv_model, profiles=[LIMITS])
    with TensorRTSession(engine, options=RunOptions(cuda_graph=True)) as session:
        for seed in range(3):
            same(session, conv_model, x=picture(seed=seed))
        assert sim.gpu.calls.count("end_capture") == 1
        assert sim.gpu.calls.count("launch") == 3
        same(session, conv_model, x=picture(2, 16, 16))
        same(session, conv_model, x=picture())
        assert sim.gpu.calls.count("end_capture") == 3


def test_cuda_graph_needs_cuda_python(simulate, conv_model):
    sim = simulate()
    with pytest.raises(MissingPackageError, match="cuda-python"):
        TensorRTSession(sim.engine(conv_model), options=RunOptions(cuda_graph=True))


def test_an_engine_that_cannot_be_captured(simulate, conv_model):
    sim = simulate(cuda=("cuda-bindings 12.9.10",))
    engine = sim.engine(conv_model, profiles=[LIMITS], capturable=False)
    session = TensorRTSession(engine, options=RunOptions(cuda_graph=True))
    with pytest.raises(EdgeupError, match=r"failed to run: TensorRT 10\.3: .*cannot be captured"):
        session.run({"x": picture()})


@pytest.mark.parametrize("graph", [False, True])
def test_bound_runs_time_the_engine(simulate, conv_model, graph):
    sim = simulate(cuda=("cuda-bindings 12.9.10",) if graph else ("pycuda",))
    engine = sim.engine(conv_model, profiles=[LIMITS])
    with TensorRTSession(engine, options=RunOptions(cuda_graph=graph)) as session:
        bound = session.bind({"x": picture()})
        copies = sim.gpu.calls.count("copy_in")
        bound()
        bound()
        assert sim.gpu.calls.count("copy_in") == copies
        assert "copy_out" not in sim.gpu.calls
        assert bound.gpu_ms() == pytest.approx(1.0)
        session.run({"x": picture(seed=1)})
        with pytest.raises(EdgeupError, match="bind again"):
            bound()
    with pytest.raises(EdgeupError, match="closed before this run"):
        bound()


@pytest.mark.parametrize("release", ["8.0.1", "8.2.1", "10.3.0"])
def test_layer_times_come_from_the_profiler(simulate, conv_model, release):
    sim = simulate(release)
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        times = session.layer_times({"x": picture()}, runs=3)
        assert times == {"Conv": [0.25] * 3, "Relu": [1.25] * 3}
        same(session, conv_model, x=picture(seed=1))


def typed_model(make_model, kind, shape=(4,)):
    """``y = x + x``."""
    return make_model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [VALUE("x", kind, shape)],
        [VALUE("y", kind, shape)],
    )


@pytest.mark.parametrize("release", ["8.2.1", "8.6.1", "10.3.0"])
def test_int64_is_int32_before_tensorrt_10(simulate, make_model, release):
    sim = simulate(release)
    model = typed_model(make_model, TensorProto.INT64)
    kind = "int64" if release == "10.3.0" else "int32"
    feeds = {"x": np.array([1, 2, 3, -4])}
    with TensorRTSession(sim.engine(model)) as session:
        assert session.inputs[0].dtype == session.outputs[0].dtype == kind
        outputs = session.run(feeds)
        assert outputs["y"].dtype.name == kind
        np.testing.assert_array_equal(outputs["y"], 2 * feeds["x"])
        if kind == "int32":
            with pytest.raises(EdgeupError, match="the values 0 to 3000000000 do not fit"):
                session.run({"x": np.array([0, 0, 0, 3_000_000_000])})
            session.run({"x": np.array([1, 2, 3, 4], np.int32)})


def test_bfloat16(simulate, make_model):
    import ml_dtypes

    sim = simulate()
    with TensorRTSession(sim.engine(typed_model(make_model, TensorProto.BFLOAT16))) as session:
        assert session.inputs[0].dtype == "bfloat16"
        values = np.array([0.5, 1, -2, 3]).astype(ml_dtypes.bfloat16)
        outputs = session.run({"x": values})["y"]
        assert outputs.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(outputs.astype(float), [1, 2, -4, 6])
        with pytest.raises(EdgeupError, match="got dtype float32, wanted bfloat16"):
            session.run({"x": np.ones(4, np.float32)})


def test_half_and_scalars_and_nothing(simulate, make_model):
    sim = simulate()
    with TensorRTSession(sim.engine(typed_model(make_model, TensorProto.FLOAT16))) as session:
        half = session.run({"x": np.array([1, 2, 3, 4], np.float16)})["y"]
        np.testing.assert_array_equal(half, np.array([2, 4, 6, 8], np.float16))
    with TensorRTSession(sim.engine(typed_model(make_model, TensorProto.FLOAT, ()))) as session:
        assert session.run({"x": np.float32(3).reshape(())})["y"] == 6
    with TensorRTSession(sim.engine(typed_model(make_model, TensorProto.FLOAT, (0, 3)))) as session:
        assert session.run({"x": np.ones((0, 3), np.float32)})["y"].shape == (0, 3)


def test_several_inputs_and_outputs(simulate, make_model):
    """Each has another shape, so that mixed-up buffers cannot pass."""
    model = make_model(
        [
            helper.make_node("MatMul", ["a", "b"], ["c"]),
            helper.make_node("Transpose", ["a"], ["t"]),
        ],
        [VALUE("a", TensorProto.FLOAT, [2, "k"]), VALUE("b", TensorProto.FLOAT, ["k", 5])],
        [VALUE("c", TensorProto.FLOAT, [2, 5]), VALUE("t", TensorProto.FLOAT, ["k", 2])],
    )
    limits = {"a": [[2, 1], [2, 3], [2, 9]], "b": [[1, 5], [3, 5], [9, 5]]}
    random = np.random.default_rng(0)
    for release in ("8.2.1", "10.3.0"):
        sim = simulate(release)
        with TensorRTSession(sim.engine(model, profiles=[limits])) as session:
            for k in (3, 9, 2):
                a, b = (random.normal(size=size).astype(np.float32) for size in ((2, k), (k, 5)))
                same(session, model, b=b, a=a)


@pytest.mark.parametrize(
    ("feeds", "reason"),
    [
        ({}, "needs the input x"),
        ({"x": picture(), "z": picture()}, "has no input 'z'; it has x"),
        ({"x": picture().astype(np.float64)}, "got dtype float64, wanted float32"),
        ({"x": picture()[0]}, r"got shape 2x8x8, wanted \?x2x\?x\?"),
        ({"x": picture(h=3)}, "got shape 1x2x3x8, and was built for 1x2x4x4 to 2x2x16x16"),
        ({"x": picture(n=3)}, "got shape 3x2x8x8, and was built for"),
    ],
)
def test_wrong_feeds_are_refused_and_the_session_goes_on(simulate, conv_model, feeds, reason):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS]), label="m.engine") as session:
        with pytest.raises(EdgeupError, match=f"m.engine.*{reason}"):
            session.run(feeds)
        same(session, conv_model, x=picture())


def test_fortran_ordered_and_sliced_feeds(simulate, conv_model):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        same(session, conv_model, x=np.asfortranarray(picture()))
        same(session, conv_model, x=picture(1, 16, 16)[:, :, ::2, ::2])


@pytest.mark.parametrize("release", RELEASES)
def test_engines_that_do_not_load(simulate, conv_model, release):
    sim = simulate(release)
    other = "10.7.0" if release != "10.7.0" else "8.2.1"
    for engine, reason in (
        (b"nonsense", "magic tag"),
        (b"", "magic tag"),
        (sim.engine(conv_model, release=other), f"is of {other}, not {release}"),
    ):
        with pytest.raises(EdgeupError, match=f"the engine does not load: TensorRT .*{reason}"):
            TensorRTSession(engine)


def test_host_code_is_loaded_only_on_demand(simulate, conv_model):
    sim = simulate()
    engine = sim.engine(conv_model, profiles=[LIMITS], version_compatible=True)
    with pytest.raises(EdgeupError, match="host code, which is not allowed"):
        TensorRTSession(engine)
    with TensorRTSession(engine, options=RunOptions(version_compatible=True)) as session:
        same(session, conv_model, x=picture())


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ({"implicit_batch": True}, "implicit batch"),
        ({"format": "CHW32"}, "input x of the engine has a vectorized layout"),
        ({"shape_tensors": ["x"]}, "input x of the engine is a shape"),
    ],
)
@pytest.mark.parametrize("release", ["8.2.1", "8.6.1"])
def test_engines_that_cannot_be_fed(simulate, conv_model, release, note, reason):
    sim = simulate(release)
    with pytest.raises(EdgeupError, match=reason):
        TensorRTSession(sim.engine(conv_model, profiles=[LIMITS], **note))


def test_shapes_that_depend_on_data_are_refused(simulate, make_model):
    model = make_model(
        [helper.make_node("NonZero", ["x"], ["y"])],
        [VALUE("x", TensorProto.FLOAT, [4])],
        [VALUE("y", TensorProto.INT64, [1, "found"])],
    )
    session = TensorRTSession(simulate().engine(model))
    with pytest.raises(EdgeupError, match="the shape of y depends on the inputs' values"):
        session.run({"x": np.ones(4, np.float32)})


CALLS = ["alloc", "alloc_host", "copy_in", "copy_out", "synchronize", "enqueue"]


@pytest.mark.parametrize("package", ["pycuda", "cuda-bindings 12.9.10"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("after", [0, 1])
def test_an_error_in_the_middle_frees_everything(simulate, conv_model, package, call, after):
    """Whatever call fails in a run: one line says why, and nothing is left (see `simulate`)."""
    sim = simulate(cuda=(package,))
    session = TensorRTSession(sim.engine(conv_model, profiles=[LIMITS]))
    sim.gpu.refuse(call, after=after, code=2, words="unspecified launch failure")

    def run_twice():
        session.run({"x": picture()})
        session.run({"x": picture(1, 16, 16)})

    with pytest.raises(EdgeupError, match="unspecified launch failure") as caught:
        run_twice()
    assert "\n" not in str(caught.value)
    with pytest.raises(EdgeupError, match="closed before this run"):
        session.run({"x": picture()})
    session.close()


@pytest.mark.parametrize("package", ["pycuda", "cuda-bindings 12.9.10"])
@pytest.mark.parametrize(
    "call", ["create_stream", "create_execution_context", "synchronize", "memory_info"]
)
def test_an_error_while_loading_frees_everything(simulate, conv_model, package, call):
    sim = simulate(cuda=(package,))
    sim.gpu.refuse(call)
    with pytest.raises(EdgeupError, match="out of memory"):
        TensorRTSession(sim.engine(conv_model, profiles=[LIMITS]))


def test_the_first_error_is_told_not_what_follows_from_it(simulate, conv_model):
    sim = simulate(cuda=("cuda-bindings 12.9.10",), forgiving=True)
    engine = sim.engine(conv_model, profiles=[LIMITS])
    sim.gpu.refuse("create_execution_context", words="too little memory")
    sim.gpu.refuse("free_stream", words="context is destroyed")
    with pytest.raises(EdgeupError, match="too little memory"):
        TensorRTSession(engine)
    session = TensorRTSession(engine)
    sim.gpu.refuse("enqueue", words="an illegal memory access")
    for call in ("synchronize", "free", "free_host", "free_stream"):
        sim.gpu.refuse(call, words="context is destroyed")
    with pytest.raises(EdgeupError, match="an illegal memory access"):
        session.run({"x": picture()})
    assert {"free", "free_host"} <= set(sim.gpu.calls)  # each was tried
    session.close()


@pytest.mark.parametrize("call", ["device_pointer", "begin_capture", "end_capture", "launch"])
def test_an_error_in_an_option_frees_everything(simulate, conv_model, call):
    sim = simulate(cuda=("cuda-bindings 12.9.10",), integrated=True)
    engine = sim.engine(conv_model, profiles=[LIMITS])
    session = TensorRTSession(engine, options=RunOptions(zero_copy=True, cuda_graph=True))
    sim.gpu.refuse(call, words="operation not permitted")
    with pytest.raises(EdgeupError, match="operation not permitted"):
        session.run({"x": picture()})


def test_ctrl_c_in_a_run_frees_everything(simulate, conv_model, monkeypatch):
    sim = simulate()
    session = TensorRTSession(sim.engine(conv_model, profiles=[LIMITS]))

    def interrupted(self, name, stream):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeup.runtime.engine.buffers.IOBuffers.download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.run({"x": picture()})


def test_close_twice_and_run_after(simulate, conv_model):
    sim = simulate()
    session = TensorRTSession(sim.engine(conv_model, profiles=[LIMITS]))
    session.run({"x": picture()})
    session.close()
    assert sim.left() == ([], {}, {})
    session.close()
    with pytest.raises(EdgeupError, match="the engine was closed before this run"):
        session.run({"x": picture()})


def test_buffers_grow_and_do_not_shrink(simulate, conv_model):
    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        for size in (8, 16, 8, 4, 16):
            same(session, conv_model, x=picture(1, size, size, size))
    assert sim.gpu.calls.count("alloc") == 4  # input and output, at 8 and at 16


def test_a_session_runs_on_another_thread(simulate, conv_model):
    """pycuda's contexts are current per thread."""
    from concurrent.futures import ThreadPoolExecutor

    sim = simulate()
    with TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as session:
        with ThreadPoolExecutor(1) as pool:
            outputs = pool.submit(session.run, {"x": picture()}).result()
        np.testing.assert_allclose(
            outputs["y"], run_once(conv_model, {"x": picture()})["y"], rtol=1e-5, atol=1e-6
        )


def test_two_sessions_side_by_side(simulate, conv_model, make_model):
    sim = simulate()
    other = typed_model(make_model, TensorProto.FLOAT)
    with (
        TensorRTSession(sim.engine(conv_model, profiles=[LIMITS])) as one,
        TensorRTSession(sim.engine(other)) as two,
    ):
        for seed in range(2):
            same(one, conv_model, x=picture(seed=seed))
            same(two, other, x=np.arange(4, dtype=np.float32) + seed)


def test_missing_packages(simulate, conv_model, monkeypatch):
    sim = simulate(cuda=())
    with pytest.raises(MissingPackageError, match=r"pycuda.*pip install 'edgeup\[jetson\]'"):
        TensorRTSession(sim.engine(conv_model))
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    from edgeup.runtime.engine.bindings_library import find_library

    find_library.cache_clear()
    with pytest.raises(MissingPackageError, match="tensorrt"):
        TensorRTSession(sim.engine(conv_model))


def test_type_stubs_are_no_tensorrt(simulate, conv_model, monkeypatch, tmp_path):
    """tensorrt-stubs installs a folder ``tensorrt`` without code, and Python imports it."""
    import sys

    sim = simulate()
    (tmp_path / "tensorrt").mkdir()
    (tmp_path / "tensorrt" / "__init__.pyi").write_text("")
    monkeypatch.delitem(sys.modules, "tensorrt")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingPackageError, match="tensorrt"):
        TensorRTSession(sim.engine(conv_model))


def test_no_driver_is_one_line(simulate, conv_model):
    sim = simulate(cuda=("cuda-bindings 12.9.10",))
    runtime = sim.modules["cuda.bindings.runtime"]

    def absent():
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    runtime.cudaGetDevice = absent
    with pytest.raises(EdgeupError, match="no GPU can be used here: Failed to dlopen libcuda"):
        TensorRTSession(sim.engine(conv_model))
