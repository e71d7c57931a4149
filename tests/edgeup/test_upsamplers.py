"""Every upsampling method in ONNX Runtime, and the data file that says what each costs.

This is the complete matrix: each method is built, exported, compared and counted once.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

from edgeup.models.upsampling.catalog import UPSAMPLERS

TABLE = json.loads((files("edgeup") / "data" / "upsamplers.json").read_text())


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "make_upsamplers.py"
    spec = importlib.util.spec_from_file_location("make_upsamplers", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_onnx_runtime_computes_it_at_the_cost_that_is_listed(maker: ModuleType, name: str) -> None:
    measured = maker.measure(UPSAMPLERS[name])
    assert measured.parity.passed, measured.parity.needed
    assert not measured.parity.vacuous
    assert len(measured.parity.cases) == 5
    assert measured.row == TABLE["upsamplers"][name]


def test_the_comparison_sees_a_wrong_graph(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = UPSAMPLERS["nearest-exact"]
    bilinear = maker.to_onnx(
        UPSAMPLERS["bilinear"].block.build(),
        [maker.TensorSpec("x", exact.input_shape)],
        opset=maker.OPSET,
        output_names=["y"],
    )
    monkeypatch.setattr(maker, "to_onnx", lambda *_, **__: bilinear)
    assert not maker.measure(exact).parity.passed


def test_the_data_file_names_every_method_and_what_made_it() -> None:
    assert set(TABLE["upsamplers"]) == set(UPSAMPLERS)
    assert {"torch", "onnxscript", "onnxsim", "opset"} <= set(TABLE["made_with"])
    assert list(TABLE["upsamplers"]) == sorted(TABLE["upsamplers"])


RESIZES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear")
RESIZES += ("area", "avg-unpool")

# What a later run of the tool must not quietly make worse.
SMALLEST = {
    **{name: {"Resize": 1} for name in RESIZES},
    "deconv": {"ConvTranspose": 1},
    "deconv-bilinear": {"ConvTranspose": 1},
    "deconv-bilinear-dw": {"ConvTranspose": 1},
    "zero-insertion": {"ConvTranspose": 1},
    "max-unpool": {"MaxPool": 1, "MaxUnpool": 1},
    "avg-downsample": {"AveragePool": 1},
    "nnconv": {"Conv": 1, "Relu": 1, "Resize": 1},
    "subpixel": {"Conv": 1, "DepthToSpace": 1},
}


@pytest.mark.parametrize("name", SMALLEST)
def test_the_graph_is_the_smallest_there_is(name: str) -> None:
    assert TABLE["upsamplers"][name]["operators"] == SMALLEST[name]


def test_macs_per_pixel_are_those_of_the_arithmetic() -> None:
    rows = TABLE["upsamplers"]
    # Each input pixel scatters 5 * 5 taps of 64 * 32 channels over four output pixels.
    assert rows["deconv"]["macs_per_pixel"] == 64 * 32 * 5 * 5 / 4
    # The convolution runs on the large map, whose zeros it multiplies as well.
    assert rows["upconv"]["macs_per_pixel"] == 64 * 32 * 5 * 5
    # 3 * 3 + 2 * 3 + 3 * 2 + 2 * 2 = 25 taps, once per four output pixels.
    assert rows["fast-upconv"]["macs_per_pixel"] == 64 * 32 * 25 / 4
    assert rows["subpixel"]["macs_per_pixel"] == 64 * (32 * 4) * 3 * 3 / 4
    assert rows["bilinear"]["macs_per_pixel"] == 0


def test_list_upsamplers(edgeup: Callable) -> None:
    ran = edgeup("list", "upsamplers", "--format", "json")
    assert ran.status == 0
    rows = {row["name"]: row for row in ran.json["upsamplers"]}
    assert set(rows) == set(UPSAMPLERS)
    assert rows["upproj"]["paper"] == "Laina et al. 2016, FCRN, arXiv:1606.00373"
    assert rows["nearest"]["paper"] is None
    for row in rows.values():
        assert row["description"]
        assert row["operators"]
        assert row["parameters"] >= 0
    text = edgeup("list", "upsamplers").out
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "51,200 parameters, 12,800 MACs per output pixel" in text
    assert "MaxPool 1, MaxUnpool 1" in text
    assert "Badrinarayanan et al. 2015, SegNet, arXiv:1511.00561" in text


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from edgeup.cli.main import main; status = main(['list', 'upsamplers']); "
        "sys.exit(status or any(m in sys.modules for m in ('torch', 'onnx', 'onnxruntime')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "zeiler-switches" in done.stdout
