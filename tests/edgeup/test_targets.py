"""Targets: the facts are complete, agree with onnx's own table, and refusals say what to do."""

import onnx
import pytest

from edgeup.errors import EdgeupError
from edgeup.targets import (
    OLDEST_OPSET,
    all_targets,
    default_target,
    find_target,
    ir_version_of,
    sources,
)


def test_every_ir_version_is_the_one_onnx_published_with_the_opset() -> None:
    published: dict[int, int] = {}
    for _, ir_version, opset, *_ in onnx.helper.VERSION_TABLE:
        published.setdefault(opset, ir_version)
    for opset in range(OLDEST_OPSET, 25):
        assert ir_version_of(opset) == published[opset]
    for target in all_targets():
        assert target.ir_version == published[target.opset], target.name


def test_every_target_cites_known_sources_and_writes_what_it_reads() -> None:
    names = [target.name for target in all_targets()]
    assert len(set(names)) == len(names) >= 20
    for target in all_targets():
        assert set(target.sources) <= set(sources())
        assert target.sources
        assert OLDEST_OPSET <= target.opset <= target.opset_max
        if target.l4t is None and target.jetpack is not None:
            assert "l4t" in target.unverified


@pytest.mark.parametrize(
    ("name", "tensorrt", "opset", "ir_version"),
    [
        ("jetpack-4.6", "8.0.1", 13, 7),
        ("jetpack-4.6.6", "8.2.1", 13, 7),
        ("jetpack-5.1.2", "8.5.2", 17, 8),
        ("jetpack-6.0", "8.6.2", 17, 8),
        ("jetpack-6.2", "10.3.0", 20, 9),
        ("jetpack-7.2", "10.16.2", 20, 9),
        ("cpu", None, 20, 9),
        ("rtx", None, 20, 9),
    ],
)
def test_a_target_holds_its_tensorrt_opset_and_ir_version(
    name: str, tensorrt: str | None, opset: int, ir_version: int
) -> None:
    target = find_target(name)
    assert (target.tensorrt, target.opset, target.ir_version) == (tensorrt, opset, ir_version)


def test_the_default_target_exists() -> None:
    assert find_target(default_target()).name == "jetpack-6.2"


def test_an_unknown_target_is_refused_with_near_names() -> None:
    with pytest.raises(EdgeupError, match=r"unknown target 'jetpack-6\.3'.*jetpack-6\.2"):
        find_target("jetpack-6.3")


def test_a_users_opset_must_be_within_reach() -> None:
    old = find_target("jetpack-5.1.2")
    assert old.choose_opset(None) == (17, 8)
    assert old.choose_opset(13) == (13, 7)
    for wanted in (12, 18):
        with pytest.raises(EdgeupError, match=f"opset {wanted} is out of reach"):
            old.choose_opset(wanted)
