"""mypy checks the binding modules against published stubs of TensorRT: types of arguments, too.

The stubs are of TensorRT 10.13, so each module is read as 10.13 runs it (api_walker.py), with the
classes of what it names in place of Any. They are not in the environment, where their folder
``tensorrt`` without code would be imported for TensorRT; to run these tests:

    pip install --no-deps --target .stubs tensorrt-stubs==10.13.0.35.1

pycuda has no stubs, and cuda-python's packages hold none: test_engine_api.py checks their names.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUBS = ROOT / ".stubs"
RELEASE = "10.13.3"

pytestmark = pytest.mark.skipif(
    not (STUBS / "tensorrt_bindings").is_dir(),
    reason="pip install --no-deps --target .stubs tensorrt-stubs==10.13.0.35.1",
)

KNOWN = [
    # Dims has __len__ and __getitem__: Python iterates over that, mypy wants __iter__.
    r'Argument 1 to "tuple" has incompatible type "Dims"; expected "Iterable\[int\]"',
    # pybind11 converts sequences to Dims (py::implicitly_convertible in the binding source).
    r'"set_shape" of "IOptimizationProfile" has incompatible type "tuple\[int, \.\.\.\]"',
]
"""What the stubs do not know."""


UNPARSABLE = {"add_scale_nd", "get_workspace_size", "configure_plugin", "on_shape_change"}
"""Methods, none of them used here, whose stubs are no Python: a parameter ``in``, a default before
a parameter without one."""


def repaired(text):
    """The stub as Python. ``bool`` becomes Python's: the stub's ``trt.bool``, a type, hides it."""
    lines = text.split("\n")
    while True:
        try:
            ast.parse("\n".join(lines))
            break
        except SyntaxError as error:
            indent, name = re.match(r"(\s*)def (\w+)\(", lines[error.lineno - 1]).groups()
            assert name in UNPARSABLE
            lines[error.lineno - 1] = f"{indent}def {name}(self, *arguments: typing.Any) -> None:"
    text = re.sub(r"(-> |: )bool\b", r"\1_python.bool", "\n".join(lines))
    future = "from __future__ import annotations\n"
    return text.replace(future, future + "import builtins as _python\n", 1)


@pytest.fixture(scope="module")
def check(simulators, tmp_path_factory):
    """mypy's errors in sources, by the modules' names."""
    api = pytest.importorskip("mypy.api")
    folder = tmp_path_factory.mktemp("stubs")
    for package in ("tensorrt", "tensorrt_bindings"):
        shutil.copytree(STUBS / package, folder / package)
    stub = folder / "tensorrt_bindings" / "tensorrt.pyi"
    stub.write_text(repaired(stub.read_text(encoding="utf-8")), encoding="utf-8")

    def errors(**sources):
        paths = [folder / f"{name}.py" for name in sources]
        for path, source in zip(paths, sources.values(), strict=True):
            walked = simulators.walker.walk(simulators.api, RELEASE, source)
            path.write_text(simulators.walker.specialized(source, walked), encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MYPYPATH", f"{folder}:{ROOT}")
            out, complaint, _ = api.run(
                [
                    *("--follow-imports=silent", "--config-file=", "--check-untyped-defs"),
                    *("--python-version=3.10", f"--cache-dir={folder / 'cache'}"),
                    *map(str, paths),
                ]
            )
        assert f"checked {len(paths)} source file" in out, out[-500:] + complaint
        lines = [line for line in out.splitlines() if line.startswith(tuple(map(str, paths)))]
        found = [line for line in lines if ": error: " in line]
        return [line for line in found if not any(re.search(known, line) for known in KNOWN)]

    return errors


def test_the_bindings_follow_the_stubs(check, sources):
    assert check(**sources) == []


PLANTED = [
    ("bindings_tensorrt_run", "execute_async_v3(stream)", "execute_async_v3(str(stream))"),
    ("bindings_tensorrt_run", "get_tensor_mode(name)", "get_tensor_mode(name, 0)"),
    ("bindings_tensorrt_run", "set_tensor_address(name, address)", "set_tensor_address(address)"),
    ("bindings_tensorrt", "trt.OnnxParser(network, logger)", "trt.OnnxParser(logger, network)"),
    ("bindings_tensorrt", "config.set_flag(trt.BuilderFlag.TF32)", "config.set_flag(32)"),
]


def test_planted_errors_are_found(check, sources):
    """All in one run of mypy: one error at least for each."""
    planted = dict(sources)
    used = [(name, old, new) for name, old, new in PLANTED if old in sources[name]]
    assert len(used) >= 4
    for name, old, new in used:
        planted[name] = planted[name].replace(old, new)
    assert len(check(**planted)) >= len(used)


@pytest.fixture(scope="module")
def sources():
    folder = ROOT / "runtime" / "engine"
    names = ("bindings_library", "bindings_tensorrt", "bindings_tensorrt_run")
    return {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in names}
