"""Arrays into a module: everything that does not fit is listed first, and nothing is touched."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.models.catalog import FastDepthConfig
from edgeup.models.fastdepth import build
from edgeup.models.weights.checkpoint import read_checkpoint
from edgeup.models.weights.loading import load_state
from edgeup.models.weights.recognition import recognise

PATH = Path("weights.pth")
NARROW = FastDepthConfig(
    decoder="nnconv5dw",
    skip="add",
    encoder_widths=(4, 6, 8, 10, 12, 14, 10, 8, 8, 8, 8, 8, 12, 16),
    decoder_widths=(10, 14, 10, 6, 4),
)


def _network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    for value in network.state_dict().values():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5, 1.5)
    return network


def _state(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def test_values_arrive() -> None:
    source, goal = _network(1), _network(2)
    state = _state(source)
    state["1.num_batches_tracked"] = np.array(41)
    load_state(goal, state, PATH)
    assert int(goal.state_dict()["1.num_batches_tracked"]) == 41
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(goal(image), source(image))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_other_precisions_are_converted(dtype: type) -> None:
    state = {
        k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in _state(_network(1)).items()
    }
    goal = _network(2)
    load_state(goal, state, PATH)
    weight = goal.state_dict()["0.weight"]
    assert weight.dtype == torch.float32
    np.testing.assert_array_equal(weight.numpy(), state["0.weight"].astype(np.float32))


def test_a_batch_norm_of_before_its_counter() -> None:
    state = _state(_network(1))
    del state["1.num_batches_tracked"]
    load_state(_network(2), state, PATH)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("1.running_mean"), r"missing: 1\.running_mean$"),
        (lambda s: s.update(a=np.ones(1)), "unexpected: a$"),
        (
            lambda s: s.update({"0.weight": np.ones((5, 3, 3, 3))}),
            r"of another shape: 0\.weight has 5x3x3x3, wanted 4x3x3x3$",
        ),
        (lambda s: s.update({"0.bias": np.ones(4, np.int8)}), r"another kind: 0\.bias holds int8$"),
        (lambda s: s.update({"1.num_batches_tracked": np.array(0.5)}), "another kind: 1.num_b"),
        (
            lambda s: (s.clear(), s.update({f"x{i}": np.ones(1) for i in range(9)})),
            r"missing: 0\.weight, 0\.bias, .*\(6 in all\); unexpected: x0, x1, .*\(9 in all\)$",
        ),
    ],
)
def test_what_does_not_fit_is_listed(change, reason: str) -> None:
    state, goal = _state(_network(1)), _network(2)
    before = _state(goal)
    change(state)
    with pytest.raises(EdgeupError, match=reason) as refusal:
        load_state(goal, state, PATH)
    assert "\n" not in str(refusal.value)
    for name, array in _state(goal).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_pruned_file_just_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = build(NARROW).eval()
    torch.save({"state_dict": nn.DataParallel(source).state_dict()}, tmp_path / "w.pth")
    checkpoint = read_checkpoint(tmp_path / "w.pth")
    goal = build(recognise(checkpoint).config).eval()
    load_state(goal, checkpoint.state, tmp_path / "w.pth")
    image = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        depth = goal(image)
        assert torch.equal(depth, source(image))
    assert depth.std() > 0
