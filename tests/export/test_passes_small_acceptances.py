"""Small rewrites for one refusal each: ceil_mode, reduction="none", constant unpooling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.ceil_pooling import CeilPooling, dropped_window
from edgeup.export.passes.grid_names import GridNames
from edgeup.export.passes.scatter_reduction import ScatterReduction
from edgeup.export.passes.unpool_by_index import UnpoolByIndex

TENSORRT = {"backend": "tensorrt", "tensorrt": (10, 3)}


@given(
    size=st.integers(3, 9),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 4),
    begin=st.integers(0, 2),
    end=st.integers(0, 2),
)
@settings(max_examples=80, deadline=None)
def test_ceil_mode_keeps_the_windows_that_onnx_has(
    model_text, rewrite, size, kernel, stride, begin, end
):
    begin, end = min(begin, kernel - 1), min(end, kernel - 1)
    text = model_text(
        f"y = MaxPool<kernel_shape=[{kernel},{kernel}], strides=[{stride},{stride}], "
        f"pads=[{begin},{begin},{end},{end}], ceil_mode=1>(x)",
        inputs=f"float[1,2,{size},{size + 3}] x",
        output="float[a,b,c,d] y",
        opset=22,
    )
    done = rewrite(text, CeilPooling(), **TENSORRT)
    assert done.error == 0
    pool = next(iter(done.optimized.model.graph))
    assert dropped_window(pool) is None
    assert ("ceil_mode" in pool.attributes) != bool(done.optimized.rewritten)


def test_a_window_behind_the_map_is_found(model_text, rewrite):
    text = model_text(
        "y = MaxPool<kernel_shape=[1,1], strides=[2,2], ceil_mode=1>(x)",
        inputs="float[1,2,4,5] x",
        output="float[a,b,c,d] y",
        opset=22,
    )
    done = rewrite(text, CeilPooling(), **TENSORRT)
    assert (done.error, len(done.optimized.rewritten)) == (0, 1)


def test_before_opset_22_the_model_says_another_size(model_text, rewrite):
    text = model_text(
        "y = MaxPool<kernel_shape=[1,1], strides=[2,2], ceil_mode=1>(x)",
        inputs="float[1,2,4,5] x",
        output="float[a,b,c,d] y",
        opset=13,
    )
    done = rewrite(text, CeilPooling(), only_look=True, **TENSORRT)
    assert any("where the model says" in reason for reason in done.reasons)


SCATTER = 'y = ScatterND<reduction="{}">(x, i, u)'


def scatter_text(model_text, reduction):
    return model_text(
        SCATTER.format(reduction),
        inputs="float[4] x, float[2] u",
        output="float[4] y",
        opset=18,
        i=np.array([[1], [3]]),
    )


@pytest.mark.parametrize(
    ("version", "rewritten"), [((9, 3), 0), ((10, 0), 1), ((10, 8), 1), ((10, 9), 0)]
)
def test_reduction_none_goes_where_it_is_refused(model_text, rewrite, version, rewritten):
    text = scatter_text(model_text, "none")
    done = rewrite(text, ScatterReduction(), backend="tensorrt", tensorrt=version)
    assert (done.error, len(done.optimized.rewritten)) == (0, rewritten)
    attributes = next(iter(done.optimized.model.graph)).attributes
    assert ("reduction" in attributes) == (not rewritten)


def test_a_reduction_that_adds_stays(model_text, rewrite):
    done = rewrite(scatter_text(model_text, "add"), ScatterReduction(), only_look=True, **TENSORRT)
    assert not done.optimized.rewritten


@pytest.mark.parametrize(
    ("version", "mode", "rewritten"),
    [
        *(((8, 4), "linear", 0), ((8, 5), "linear", 1), ((10, 3), "linear", 1)),
        *(((10, 14), "linear", 0), ((10, 3), "nearest", 0), ((10, 3), "cubic", 0)),
    ],
)
def test_the_name_that_is_taken_for_nearest_goes(model_text, rewrite, version, mode, rewritten):
    text = model_text(
        f'y = GridSample<mode="{mode}", align_corners=1, padding_mode="border">(x, g)',
        inputs="float[1,2,4,5] x, float[1,3,6,2] g",
        output="float[1,2,3,6] y",
        opset=20,
    )
    done = rewrite(text, GridNames(), backend="tensorrt", tensorrt=version)
    assert (done.error, len(done.optimized.rewritten)) == (0, rewritten)
    [node] = done.optimized.model.graph
    assert set(node.attributes) == {"align_corners", "padding_mode"} | (
        set() if rewritten else {"mode"}
    )


UNPOOL = "y = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(x, i)"


def test_constant_indices_are_a_gather_where_there_is_no_scatter(model_text, rewrite):
    text = model_text(
        UNPOOL,
        inputs="float[1,1,2,2] x",
        output="float[a,b,c,d] y",
        opset=13,
        i=np.array([[[[5, 2], [8, 15]]]]),
    )
    done = rewrite(text, UnpoolByIndex(), backend="tensorrt", tensorrt=(8, 0))
    assert done.error == 0
    assert done.nodes == {"Reshape": 2, "Concat": 1, "Gather": 1}


def test_fed_indices_are_refused_where_there_is_no_scatter(model_text, rewrite):
    inputs = "float[1,1,2,2] x, int64[1,1,2,2] i"
    text = model_text(UNPOOL, inputs=inputs, output="float[a,b,c,d] y", opset=13)
    for version, refused in (((8, 0), True), ((8, 2), False)):
        done = rewrite(text, UnpoolByIndex(), only_look=True, backend="tensorrt", tensorrt=version)
        assert any("no scatter" in reason for reason in done.reasons) == refused
