"""Every attribute of TensorRT's and CUDA's that edgeup uses exists in every release it runs on.

No GPU is at hand, so the sources of the binding modules are read as each release would run them
(api_walker.py) and their names looked up in tables of that release's API (data/*.json).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edgeup.runtime.engine as engine_package

FOLDER = Path(engine_package.__file__).parent
TENSORRT = ["bindings_library", "bindings_tensorrt", "bindings_tensorrt_run"]


@pytest.fixture(scope="session")
def walk(simulators):
    """Read one source as one release would run it."""
    return lambda source, release: simulators.walker.walk(simulators.api, release, source)


@pytest.fixture(scope="session")
def walk_cuda(simulators):
    """Read bindings_cuda.py, or a changed one, with one of cuda-python's packages."""
    table, walker = simulators.cuda_api, simulators.walker

    def read(source, package):
        pycuda = dict(table["pycuda"])
        runtime = table["cuda-python"][package]
        classes = {name: set(names) for name, names in (pycuda | runtime).items()}
        classes["driver"], classes["runtime"] = set(pycuda["module"]), set(runtime["module"])
        classes["module"] = set()
        names = {"drv": "driver", "driver": "driver", "rt": "runtime", "runtime": "runtime"}
        names |= {"primary": "autoprimaryctx", "modules": ("driver", "runtime")}
        tables = walker.Tables(classes, classes, names, modules=("drv",))
        return walker.Walker(tables, (0, 0)).module(source)

    return read


def source_of(name):
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TENSORRT)
def test_tensorrt(simulators, walk, name):
    found = {
        release: problems
        for release in simulators.api.releases
        if (problems := walk(source_of(name), release).problems)
    }
    assert found == {}


def test_cuda(simulators, walk_cuda):
    for package in simulators.cuda_api["cuda-python"]:
        walked = walk_cuda(source_of("bindings_cuda"), package)
        assert walked.problems == []
        assert ("runtime", "cudaMemcpyAsync") in walked.looked_up
        assert ("driver", "memcpy_htod_async") in walked.looked_up
        assert ("Stream", "synchronize") in walked.looked_up


def test_each_generation_is_read_by_its_own_names(walk):
    """What is read in a release, and what is not: otherwise no problem means nothing."""
    by_index, by_name = (
        {name for owner, name in walk(source_of("bindings_tensorrt_run"), release).looked_up}
        for release in ("8.4.1", "8.5.3")
    )
    assert {"execute_async_v2", "set_binding_shape"} <= by_index - by_name
    assert {"execute_async_v3", "set_tensor_address", "get_tensor_mode"} <= by_name - by_index
    assert {"set_optimization_profile_async", "report_layer_time"} <= by_index & by_name


def test_a_class_is_chosen_in_the_releases_that_it_serves(simulators):
    from edgeup.runtime.engine.bindings_tensorrt_run import ByIndex, ByName

    for release in simulators.api.releases:
        named = "num_io_tensors" in simulators.api.names("ICudaEngine", release)
        within, version = simulators.walker.within, simulators.walker.version_of(release)
        assert within(version, ByName.VERSIONS) == named
        assert within(version, ByIndex.VERSIONS) == (not named)


PLANTED = [
    ("context.execute_async_v3(stream)", "context.execute_async_v4(stream)", "11.0"),
    ("context.execute_async_v2(bindings", "context.execute_async_v3(bindings", "8.2.1"),
    ("context.set_binding_shape(", "context.set_input_shape(", "8.4.1"),
    ("engine.get_tensor_mode(", "engine.binding_is_input(", "10.3.0"),
    ("VERSIONS = ((8, 5), None)", "VERSIONS = ((8, 4), None)", "8.4.1"),
    ("VERSIONS = ((8, 0), (8, 4))", "VERSIONS = ((8, 0), (10, 0))", "10.0.1"),
    ("_trt.TensorIOMode.INPUT", "_trt.TensorIOMode.IN", "8.6.1"),
    ("trt.TensorFormat.LINEAR", "trt.TensorFormats.LINEAR", "8.2.1"),
    ("def report_layer_time", "def report_layer_times", "10.3.0"),
    ("dtype.name not in", "dtype.title not in", "10.3.0"),
    ("context.profiler = ", "context.profile = ", "8.2.1"),
    ('hasattr(engine, "num_io_tensors")', 'hasattr(engine, "num_io_tensor")', "8.2.1"),
    ('hasattr(engine, "has_implicit_batch_dimension") and ', "", "11.0"),
    ("engine.create_execution_context()", 'getattr(engine, "create_context")()', "8.6.1"),
    ('hasattr(engine, "device_memory_size_v2")', "True", "8.6.1"),
    ('hasattr(engine, "device_memory_size_v2")', "False", "11.0"),
    ('if not hasattr(engine, "get_engine_stat")', "if False", "10.13.3"),
    ("trt.EngineStat.TOTAL_WEIGHTS_SIZE", "trt.EngineStat.WEIGHTS_SIZE", "11.1"),
    ("    profiler = Profiler()\n", "    made = Profiler()\n    made.go()\n", "8.6.1"),
]


@pytest.mark.parametrize(("old", "new", "release"), PLANTED, ids=[new for _, new, _ in PLANTED])
def test_a_planted_wrong_name_is_found(walk, old, new, release):
    source = source_of("bindings_tensorrt_run")
    assert old in source
    assert walk(source.replace(old, new), release).problems


PLANTED_BUILD = [
    ('hasattr(config, "set_memory_pool_limit")', "True", "8.2.1"),
    ('hasattr(config, "set_memory_pool_limit")', "False", "10.3.0"),
    ("trt.BuilderFlag.TF32", "trt.BuilderFlag.FP16", "11.0"),
    ("config.default_device_type", "config.device_type", "8.6.1"),
    ("profile.set_shape(", "profile.set_shapes(", "10.3.0"),
    ("def phase_start", "def phase_begin", "10.0.1"),
]


@pytest.mark.parametrize(("old", "new", "release"), PLANTED_BUILD)
def test_a_planted_wrong_name_of_building_is_found(walk, old, new, release):
    source = source_of("bindings_tensorrt")
    assert old in source
    assert walk(source.replace(old, new), release).problems


PLANTED_CUDA = [
    ("self._rt.cudaMemGetInfo(", "self._rt.cudaMemInfo("),
    ("self._drv.mem_get_info()", "self._drv.mem_info()"),
    ("self._rt.cudaMalloc(", "self._rt.cudaMallocate("),
    ("self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice", "self._rt.cudaMemcpyKind.HostToDevice"),
    ("self._drv.mem_alloc(", "self._drv.mem_allocate("),
    ("self._context.push()", "self._context.enter()"),
    ("self._streams[stream].synchronize()", "self._streams[stream].sync()"),
    ("memory.free()", "memory.release()"),
    ("owner.get_device_pointer()", "owner.device_pointer()"),
    ("device_attribute.INTEGRATED", "device_attribute.INTEGRAL"),
]


@pytest.mark.parametrize(("old", "new"), PLANTED_CUDA, ids=[new for _, new in PLANTED_CUDA])
def test_a_planted_wrong_name_of_cuda_is_found(walk_cuda, old, new):
    source = source_of("bindings_cuda")
    assert old in source
    assert walk_cuda(source.replace(old, new), "cuda-bindings 13.5.0").problems


def test_the_bindings_are_used_nowhere_else():
    """What is not in the modules that are read here must not speak to TensorRT or CUDA."""
    spoken = re.compile(
        r"^\s*(?:import|from)\s+(?:tensorrt|tensorrt_rtx|pycuda|cuda)\b", re.MULTILINE
    )
    root = FOLDER.parent.parent
    users = {
        str(path.relative_to(root))
        for folder in ("runtime", "export", "models", "edgeup")
        for path in (root / folder).glob("**/*.py")
        if spoken.search(path.read_text(encoding="utf-8"))
    }
    assert users <= {"runtime/engine/bindings_cuda.py", "runtime/nvidia_parser.py"}


def test_the_table_of_rtx_is_the_package_s(simulators):
    """The one package that can be imported here has what the table says."""
    rtx = pytest.importorskip("tensorrt_rtx")
    api = simulators.api
    release = api.releases[-1]
    if rtx.__version__.rpartition(".")[0] != release.removeprefix("rtx-"):
        pytest.skip(f"the table is of {release}, installed is {rtx.__version__}")
    for owner in api.classes:
        for name in api.names(owner, release):
            holder = rtx if owner == "module" else getattr(rtx, owner)
            assert hasattr(holder, name), f"{owner} has no {name}"
        if owner != "module" and hasattr(rtx, owner):
            absent = api.ever(owner) - api.names(owner, release)
            plain = {name for name in absent if not name.startswith("__")}
            assert {name for name in plain if hasattr(getattr(rtx, owner), name)} == set()
