"""The table of upsampling methods: complete, buildable, exportable, and free of torch."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import edgeup.models.upsampling as package
from edgeup.models.upsampling.catalog import UPSAMPLERS, Upsampler

METHODS = [
    *("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"),
    *("mean", "median", "deconv", "deconv-bilinear", "zero-insertion", "max-unpool", "avg-unpool"),
    *("zeiler-switches", "upconv", "fast-upconv", "upproj", "fast-upproj", "monodepth-upconv"),
    *("nnconv", "blconv", "subpixel", "pixel-unshuffle", "avg-downsample"),
]


def test_every_method_is_there_under_a_kebab_case_name() -> None:
    assert set(METHODS) <= set(UPSAMPLERS)
    for name, method in UPSAMPLERS.items():
        assert name == method.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert method.description


def test_every_block_of_the_package_is_in_the_table() -> None:
    listed = {UPSAMPLERS[name].block.target for name in UPSAMPLERS}
    listed |= {m.indices_from.target for m in UPSAMPLERS.values() if m.indices_from is not None}
    for path in Path(str(package.__file__)).parent.glob("*.py"):
        module = import_module(f"{package.__name__}.{path.stem}")
        for name, member in vars(module).items():
            ours = inspect.isclass(member) and member.__module__ == module.__name__
            if ours and issubclass(member, nn.Module):
                assert f"{module.__name__}:{name}" in listed


def test_the_table_needs_no_torch() -> None:
    code = (
        "import sys, edgeup.models.upsampling.catalog as c; assert len(c.UPSAMPLERS) > 20; "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def example(method: Upsampler) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    x = torch.randn(method.input_shape)
    inputs = (x,) if method.indices_from is None else method.indices_from.build()(x)
    return method.block.build(), inputs


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_the_canonical_example_runs_and_doubles(name: str) -> None:
    method = UPSAMPLERS[name]
    module, inputs = example(method)
    assert not module.training
    with torch.no_grad():
        y = module(*inputs)
    factor = 0.5 if name in ("pixel-unshuffle", "avg-downsample") else 2
    assert [s / factor for s in y.shape[2:]] == list(inputs[0].shape[2:])
    assert y.std() > 0.01


# What a median or an unpooling could be tempted to use, and TensorRT would refuse or copy.
PLAIN = {"Add", "Concat", "Constant", "DepthToSpace", "Div", "Max", "Min", "Reshape", "Slice"}
PLAIN |= {"Squeeze", "Unsqueeze"}
UNPOOLING = {*PLAIN, "ConstantOfShape", "ScatterND", "ScatterElements"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("median", PLAIN),
        ("fast-upconv", {*PLAIN, "Conv", "Pad", "Relu", "BatchNormalization"}),
        ("max-unpool", UNPOOLING),
        ("zeiler-switches", UNPOOLING),
    ],
)
def test_onnx_holds_plain_operators_and_the_same_numbers(
    tmp_path: Path, name: str, allowed: set[str]
) -> None:
    module, inputs = example(UPSAMPLERS[name])
    program: Any = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
    program.save(tmp_path / "block.onnx")
    graph = onnx.load(tmp_path / "block.onnx").graph
    assert {node.op_type for node in graph.node} <= allowed
    session = onnxruntime.InferenceSession(tmp_path / "block.onnx")
    feeds = {i.name: t.numpy() for i, t in zip(session.get_inputs(), inputs, strict=True)}
    with torch.no_grad():
        expected = module(*inputs).numpy()
    run: Callable[..., list[Any]] = session.run
    np.testing.assert_allclose(run(None, feeds)[0], expected, rtol=1e-5, atol=1e-5)
