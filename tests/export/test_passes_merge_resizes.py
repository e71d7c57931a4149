from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.export.passes.merge_resizes import MergeResizes

FLOOR = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
REPEATS = [
    FLOOR,
    'mode="nearest"',  # half_pixel, round_prefer_floor
    'mode="nearest", nearest_mode="round_prefer_ceil"',
    'mode="nearest", coordinate_transformation_mode="pytorch_half_pixel"',
]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(REPEATS), st.integers(1, 3), st.integers(1, 4), st.booleans()),
        min_size=2,
        max_size=4,
    )
)
def test_chains_of_whole_factors_become_one_resize(rewrite, model_text, chain):
    body, arrays, sizes = "", {}, np.asarray([2, 3, 2, 3])
    for index, (attributes, tall, wide, by_sizes) in enumerate(chain):
        scales = np.asarray([1, 1, tall, wide])
        sizes = sizes * scales
        arrays[f"n{index}"] = sizes if by_sizes else scales.astype(np.float32)
        given = f",,n{index}" if by_sizes else f",n{index}"
        body += f"r{index + 1} = Resize<{attributes}>(r{index},{given}) "
    text = model_text(
        body + f"y = Identity(r{len(chain)})",
        inputs="float[2,3,2,3] r0",
        output="float[n,c,h,w] y",
        **arrays,
    )
    done = rewrite(text, MergeResizes())
    assert done.nodes["Resize"] == 1
    assert done.error == 0


@pytest.mark.parametrize(
    ("opset", "resize"),
    [
        (8, 'Upsample<mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]>({})'),
        (9, 'Upsample<mode="nearest">({}, s)'),
        (10, 'Resize<mode="nearest">({}, s)'),
        (11, f"Resize<{FLOOR}>({{}}, roi, s)"),
        (18, f"Resize<{FLOOR}>({{}},,s)"),
    ],
)
def test_every_opset_is_read_and_written(rewrite, model_text, opset, resize):
    text = model_text(
        f"a = {resize.format('x')} y = {resize.format('a')}",
        inputs="float[1,2,2,2] x",
        output="float[1,2,8,18] y",
        opset=opset,
        s=np.asarray([1, 1, 2, 3], np.float32),
        roi=np.zeros(0, np.float32),
    )
    done = rewrite(text, MergeResizes())
    assert list(done.nodes) == [resize.split("<")[0]]
    assert done.error == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a = Resize<{0}>(x,,s) z = Relu(a) y = Resize<{0}>(a,,s)", "a, between the two, is read"),
        ('a = Resize<mode="linear">(x,,s) y = Resize<{0}>(a,,s)', "linear resize by 2, 2: only"),
        ("a = Resize<{0}>(x,,s) y = Resize<{0}>(a,,h)", "nearest resize by 3/2, 3/2: only"),
        ('a = Resize<{0}>(x,,s) y = Resize<mode="nearest", nearest_mode="ceil">(a,,s)', "by 2, 2"),
        ("a = Resize<{0}>(x,,d) y = Resize<{0}>(a,,s)", "its scales are not constants"),
        (
            "a = Resize<{0}>(x,,s) y = If(c)<then_branch = t () => (float[n,c,h,w] p) "
            "{{ p = Resize<{0}>(a,,s) }}, else_branch = e () => (float[n,c,h,w] q) "
            "{{ q = Relu(x) }}>",
            "a is resized outside of its subgraph",
        ),
        ("a = Relu(x) y = Resize<{0}>(a,,s)", None),
    ],
)
def test_other_chains_stay_with_a_reason(rewrite, model_text, body, reason):
    text = model_text(
        body.format(FLOOR),
        inputs="float[1,2,2,2] x, float[4] d, bool c",
        output="float[n,c,h,w] y" + (", float[n,c,h2,w2] z" if "z =" in body else ""),
        s=np.asarray([1, 1, 2, 2], np.float32),
        h=np.asarray([1, 1, 1.5, 1.5], np.float32),
    )
    done = rewrite(text, MergeResizes(), only_look=True)
    assert not done.optimized.rewritten
    assert done.reasons == [] if reason is None else reason in done.reasons[0]
