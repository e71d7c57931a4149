"""The efficiencies of `edgeup estimate` against a Jetson TX2: FastDepth's published layer times."""

import importlib.util
import json
from collections import Counter
from dataclasses import astuple
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeup.boards import all_boards
from edgeup.export.roofline.fit import (
    TWINS,
    fit,
    rank_correlation,
    splits,
)
from edgeup.export.roofline.measured import (
    Measured,
    measured_gpu,
    measured_layers,
)
from edgeup.export.roofline.speed import Efficiency, calibration, layer_time, packaged_efficiency
from edgeup.export.roofline.work import Work, conv_work

ROOT = Path(__file__).parents[2]
MODELS, GPU = measured_layers(), measured_gpu()
ALL = [layer for rows in MODELS.values() for layer in rows]
US = np.array([layer.us for layer in ALL])
HELD_OUT_TOTALS = 0.25
"""The aim: totals of models that were not fitted are that near."""


def test_the_data_are_four_whole_networks() -> None:
    # Sums of the published best times, repeated layers counted as often as they occur.
    milliseconds = {name: sum(x.us * x.layers for x in rows) / 1e3 for name, rows in MODELS.items()}
    assert milliseconds == pytest.approx(
        {
            "mobilenet-nnconv5": 20.15,
            "mobilenet-nnconv5dw": 7.50,
            "mobilenet-nnconv5dw-skipadd": 7.20,
            "mobilenet-nnconv5dw-skipadd-pruned": 4.94,
        },
        abs=0.006,
    )
    assert [len(rows) for rows in MODELS.values()] == [25, 30, 30, 38]
    assert [sum(x.layers for x in rows) for rows in MODELS.values()] == [33, 38, 38, 38]
    assert sorted(name for group in TWINS for name in group) == sorted(MODELS)


def test_the_measured_board_is_the_one_of_the_list_of_boards() -> None:
    tx2 = next(board for board in all_boards() if board.name == calibration()["board"])
    assert tx2.peak["fp32"] * 500 == pytest.approx(GPU.gmacs_per_s, rel=0.002)
    assert tx2.bandwidth_gbs == pytest.approx(GPU.gbytes_per_s, rel=0.002)


def test_totals_of_held_out_models_are_within_25_percent_in_every_split() -> None:
    found = list(splits(MODELS, GPU))
    assert len(found) == 6
    assert len({split.fitted_on for split in found}) == 6
    for split in found:
        held_out = {score.model for score in split.scores}
        assert held_out
        assert held_out.isdisjoint(split.fitted_on)
        assert held_out.union(split.fitted_on) == set(MODELS)
        for twins in TWINS:
            assert len(held_out.intersection(twins)) in (0, len(twins))
        for score in split.scores:
            assert abs(score.total - 1) <= HELD_OUT_TOTALS, (split.fitted_on, score)
            assert 0.85 <= score.median <= 1.1
            assert score.rank >= 0.9


def test_what_is_packaged_is_what_the_tool_makes_from_the_packaged_layers() -> None:
    spec = importlib.util.spec_from_file_location(
        "calibrate_roofline", ROOT / "tools" / "calibrate_roofline.py"
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made, packaged = tool.document(), calibration()
    assert made.keys() == packaged.keys()
    for ours, theirs in zip(numbers(made), numbers(packaged), strict=True):
        assert ours == (theirs if isinstance(theirs, str) else pytest.approx(theirs, rel=1e-3))
    assert packaged_efficiency() == Efficiency(**packaged["efficiency"])


def numbers(document: Any) -> list[Any]:
    """The leaves of a document, in order."""
    if isinstance(document, dict):
        return [leaf for key in sorted(document) for leaf in numbers(document[key])]
    if isinstance(document, list):
        return [leaf for entry in document for leaf in numbers(entry)]
    return [document]


def test_the_estimate_tells_more_than_macs_or_bytes_alone() -> None:
    efficiency = packaged_efficiency()
    estimates = np.array([layer_time(x.work, GPU, efficiency).estimate_us for x in ALL])
    rank = rank_correlation(estimates, US)
    assert rank > 0.95
    assert rank > 0.05 + rank_correlation(np.array([x.work.macs for x in ALL]), US)
    assert rank > 0.05 + rank_correlation(np.array([x.work.moved for x in ALL]), US)
    assert np.median(estimates / US) == pytest.approx(1, abs=0.05)


def synthetic(layers: list[Measured], efficiency: Efficiency) -> list[Measured]:
    return [
        Measured(x.workload, x.work, layer_time(x.work, GPU, efficiency).estimate_us, x.layers)
        for x in layers
    ]


def test_the_fit_finds_the_figures_that_times_were_made_from() -> None:
    made_from = Efficiency(0.5, 0.25, 0.8, 20.0, 32)
    assert astuple(fit(synthetic(ALL, made_from), GPU)) == pytest.approx(astuple(made_from))


def test_no_share_exceeds_the_peak_and_no_launch_is_negative() -> None:
    beyond = Efficiency(0.5, 3.0, 0.8, 0.0, 32)
    found = fit(synthetic(ALL, beyond), GPU)
    assert found.depthwise == pytest.approx(1)
    assert 0 < found.dense <= 1
    assert 0 < found.memory <= 1
    assert found.launch_us >= 0


def test_ranks_of_equal_values_are_shared() -> None:
    assert rank_correlation(np.array([1, 1, 2]), np.array([5, 5, 9])) == pytest.approx(1)
    # Ranks 1.5 1.5 3 and 1 2 3: covariance 1.5, variances 1.5 and 2.
    assert rank_correlation(np.array([1, 1, 2]), np.array([1, 2, 3])) == pytest.approx(
        1.5 / (1.5 * 2) ** 0.5
    )


def test_dense_outputs_count_in_whole_blocks_of_channels() -> None:
    def counted(channels: int) -> float:
        work = conv_work((1, 8, 4, 4), (channels, 8, 3, 3), (1, channels, 4, 4))
        return work.macs_in_blocks(32) / (16 * 8 * 9)

    assert [counted(c) for c in (1, 2, 3, 16, 17, 32, 33, 296)] == [1, 2, 4, 16, 32, 32, 64, 320]
    assert Work("depthwise", 100, 1, 7).macs_in_blocks(32) == 100


CONFIGS = ("nnconv5", "nnconv5dw", "nnconv5dw-skipadd", "nnconv5dw-skipadd-pruned")


def config(name: str) -> Any:
    from edgeup.models.catalog import PRUNED, FastDepthConfig

    if name.endswith("pruned"):
        return PRUNED
    decoder, _, skip = name.partition("-skip")
    return FastDepthConfig(decoder=decoder, skip=skip or "none")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_measured_workloads_are_the_convolutions_of_our_models(name: str) -> None:
    import torch

    from edgeup.models.fastdepth import build

    network = build(config(name)).eval().to("meta")
    found: Counter[Any] = Counter()

    def note(layer: torch.nn.Conv2d, inputs: Any, output: torch.Tensor) -> None:
        workload = (tuple(inputs[0].shape), tuple(layer.weight.shape), layer.stride[0])
        found[workload] += 1
        work = conv_work(inputs[0].shape, layer.weight.shape, output.shape)
        assert works[workload] == work

    works = {layer.workload: layer.work for layer in MODELS[f"mobilenet-{name}"]}
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(note)
    network(torch.empty(1, 3, 224, 224, device="meta"))
    assert found == {layer.workload: layer.layers for layer in MODELS[f"mobilenet-{name}"]}


@pytest.fixture(scope="module")
def graphs() -> dict[str, Any]:
    """The two networks whose time as a whole was published."""
    from edgeup.export.shapes import infer_shapes
    from edgeup.export.to_onnx import to_onnx
    from edgeup.models.fastdepth import build
    from edgeup.spec import TensorSpec

    made = {}
    for name in CONFIGS[2:]:
        spec = TensorSpec("image", (1, 3, 224, 224))
        model = to_onnx(build(config(name)), [spec], opset=17).model
        infer_shapes(model)
        made[f"mobilenet-{name}"] = model
    return made


def test_each_convolution_of_an_exported_graph_is_a_measured_workload(
    graphs: dict[str, Any],
) -> None:
    from edgeup.export.passes.facts import attribute, static_shape
    from edgeup.export.roofline.layers import layers_of

    def workload_of(conv: Any) -> Any:
        (stride,) = set(attribute(conv, "strides", (1,)))
        return static_shape(conv.inputs[0]), static_shape(conv.inputs[1]), stride

    for name, model in graphs.items():
        measured = {layer.workload: layer for layer in MODELS[name]}
        layers = [x for x in layers_of(model, "fp32") if "Conv" in x.operators]
        found = Counter(workload_of(layer.nodes[0]) for layer in layers)
        assert found == {workload: layer.layers for workload, layer in measured.items()}
        for layer in layers:
            want = measured[workload_of(layer.nodes[0])].work
            assert (layer.work.kind, layer.work.macs) == (want.kind, want.macs)
            # The graph's convolutions have a bias: a few bytes per channel.
            assert 0 <= layer.work.moved - want.moved <= 8 * 1024
            assert set(layer.operators[1:]) <= {"Relu", "Clip", "Add"}


def test_whole_networks_come_near_their_published_times(graphs: dict[str, Any]) -> None:
    """Resizes and additions are in these times, and in none that was fitted."""
    from edgeup.export.roofline.layers import layers_of
    from edgeup.pipeline.estimate.place import place_of

    tx2 = next(board for board in all_boards() if board.name == "tx2")
    text = (files("edgeup") / "data" / "tx2_layers.json").read_text()
    published = json.loads(text)["networks"]
    assert len(published) == 3
    for network in published:
        gpu = place_of(tx2, tx2.mode(network["power_mode"]), "fp32").gpu
        layers = layers_of(graphs[network["model"]], "fp32")
        times = [layer_time(x.work, gpu, packaged_efficiency()).estimate_us for x in layers]
        assert sum(times) / 1e3 == pytest.approx(network["ms"], rel=0.15)
