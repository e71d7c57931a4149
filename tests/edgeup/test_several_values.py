"""Several values after one option: taken as Polygraphy takes them, and nothing else is touched."""

import numpy as np
import pytest

from edgeup.cli.several_values import repeated
from edgeup.cli.verify_parse import parse_tolerances
from edgeup.errors import EdgeupError
from edgeup.runtime.error_statistics import find_statistic


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--rtol a:1e-3 b:1e-4 r.onnx c.onnx", "--rtol a:1e-3 --rtol b:1e-4 r.onnx c.onnx"),
        ("r.onnx c.onnx --rtol 1 y:0:.5 2E-3", "r.onnx c.onnx --rtol 1 --rtol y:0:.5 --rtol 2E-3"),
        ("--atol=a:1 b:2 --seed 3", "--atol=a:1 --atol b:2 --seed 3"),
        (
            "--check-error-stat a:max median --error-quantile .9 b:0.5",
            "--check-error-stat a:max --check-error-stat median --error-quantile .9 "
            "--error-quantile b:0.5",
        ),
        ("--rtol 1e-3 fastdepth:nnconv5 x:2", "--rtol 1e-3 fastdepth:nnconv5 x:2"),
        ("--rtol 1e-3 mynet:nan 2.onnx", "--rtol 1e-3 mynet:nan 2.onnx"),
        ("--seed 1 2 --kinds noise", "--seed 1 2 --kinds noise"),
        ("--rtol 1 -- 2 3", "--rtol 1 -- 2 3"),
        ("--rtol --atol 1 2", "--rtol --atol 1 --atol 2"),
        (
            "--input-shapes rgb:[1,3,8,8] mask:1x1x8x8 r.onnx",
            "--input-shapes rgb:[1,3,8,8] --input-shapes mask:1x1x8x8 r.onnx",
        ),
    ],
)
def test_values_are_repeated(given: str, wanted: str) -> None:
    assert list(repeated(given.split())) == wanted.split()


def test_a_quantile_of_one_output() -> None:
    named = parse_tolerances(["1e-3"], None, ["quantile"], ["y:0.9"]).statistic
    assert named == {"": "quantile:0.99", "y": "quantile:0.9"}
    tiny = parse_tolerances(["1e-3"], None, ["y:quantile"], ["0.00001"]).statistic["y"]
    assert find_statistic(tiny)(np.array([3.0, 1.0, 2.0])) == 2.0
    with pytest.raises(EdgeupError, match="--error-quantile z: that output is judged by elemwise"):
        parse_tolerances(None, None, ["y:quantile"], ["z:0.5"])


def test_one_value_may_hold_several() -> None:
    said = parse_tolerances(["a:1e-3, b:1e-4 c:1", "2"], None, None, None)
    assert said.rtol == {"a": 1e-3, "b": 1e-4, "c": 1.0, "": 2.0}
