"""All passes over random graphs, with a random choice among the forms of each site."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeup.export.passes.order import PASSES

RESIZES = [
    'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"',
    'mode="nearest"',
    'mode="linear"',
]


class Graph:
    """Writes a graph of ONNX's text form, one drawn node after the other."""

    def __init__(self, draw):
        self.draw = draw
        self.seed = draw(st.integers(0, 99))
        self.maps = {"x0": (4, 4, 5), "x1": (2, 8, 10)}  # c h w
        self.body = ""
        self.arrays = {}

    def constant(self, *shape, low=-2):
        name = f"k{len(self.arrays)}"
        random = np.random.default_rng((self.seed, len(self.arrays)))
        self.arrays[name] = random.integers(low, 3, shape).astype(np.float32) / 2
        return name

    def node(self, shape, text):
        name = f"v{len(self.maps)}"
        self.body += f"{name} = {text} "
        self.maps[name] = shape
        return name

    def pick(self, fits=lambda shape: True):
        """A map; mostly the last one, so that chains grow."""
        names = [name for name, shape in reversed(self.maps.items()) if fits(shape)]
        back = self.draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3]))
        return names[min(back, len(names) - 1)]

    def resize(self, name=None, attributes=None):
        whole = name is not None
        name = name or self.pick(lambda shape: shape[1] <= 12)
        c, h, w = self.maps[name]
        tall, wide = (2, 2) if whole else self.draw(st.sampled_from([(2, 2), (2, 1), (3, 2)]))
        key = f"s{len(self.arrays)}"
        self.arrays[key] = np.asarray([1, 1, tall, wide], np.float32)
        attributes = attributes or self.draw(st.sampled_from(RESIZES))
        return self.node((c, h * tall, w * wide), f"Resize<{attributes}>({name},,{key})")

    def convolution(self):
        name = self.pick()
        c, h, w = self.maps[name]
        out = self.draw(st.integers(1, 5))
        k = self.draw(st.sampled_from([1, 1, 3, 5]))
        weight, bias = self.constant(out, c, k, k), self.constant(out)
        pads = [k // 2] * 4
        for _ in range(self.draw(st.integers(1, 2))):  # siblings
            self.node((out, h, w), f"Conv<pads={pads}>({name}, {weight}, {bias})")

    def activation(self):
        name = self.pick()
        text = self.draw(st.sampled_from(["Relu({})", "Sigmoid({})", "LeakyRelu<alpha=0.25>({})"]))
        self.node(self.maps[name], text.format(name))

    def hard_swish(self):
        name = self.pick()
        shape = self.maps[name]
        for key, number in (("zero", 0), ("three", 3), ("six", 6)):
            self.arrays[key] = np.asarray(number, np.float32)
        a, c, m = (f"h{len(self.maps)}{letter}" for letter in "acm")  # nothing else reads these
        self.body += f"{a} = Add({name}, three) {c} = Clip({a}, zero, six) {m} = Mul({name}, {c}) "
        self.node(shape, f"Div({m}, six)")

    def batch_norm(self):
        name = self.pick()
        c = self.maps[name][0]
        given = [self.constant(c), self.constant(c), self.constant(c), self.constant(c, low=1)]
        self.node(self.maps[name], f"BatchNormalization({name}, {', '.join(given)})")

    def join(self):
        name = self.pick()
        shape = self.maps[name]
        self.combine(name, self.pick(lambda one: one[1:] == shape[1:]))

    def twins(self):
        name = self.pick(lambda shape: shape[1] <= 12)
        other = self.node(self.maps[name], f"Sigmoid({name})")
        self.combine(self.resize(name, RESIZES[0]), self.resize(other, RESIZES[0]))

    def neck(self):
        name = self.pick(lambda shape: shape[1:] == (4, 5))
        self.combine("x1", self.resize(name, RESIZES[1]))
        self.convolution()

    def combine(self, name, other):
        (c, h, w), (channels, *_) = self.maps[name], self.maps[other]
        if channels == c and self.draw(st.booleans()):
            operator = self.draw(st.sampled_from(["Add", "Mul", "Max"]))
            self.node((c, h, w), f"{operator}({name}, {other})")
        elif c + channels <= 12:
            self.node((c + channels, h, w), f"Concat<axis=1>({name}, {other})")


@st.composite
def graphs(draw):
    graph = Graph(draw)
    steps = [
        *(Graph.resize,) * 3, *(Graph.convolution,) * 2, Graph.join, Graph.twins, Graph.neck,
        Graph.activation, Graph.hard_swish, Graph.batch_norm,
    ]  # fmt: skip
    for step in draw(st.lists(st.sampled_from(steps), min_size=4, max_size=9)):
        step(graph)
    inside = list(graph.maps)[2:] or [graph.node(graph.maps["x0"], "Relu(x0)")]
    outputs = {inside[-1], *draw(st.lists(st.sampled_from(inside), max_size=1))}
    return graph, sorted(outputs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.randoms(use_true_random=False))
def test_any_choice_of_forms_computes_the_same_through_the_same_interface(
    rewrite, model_text, drawn, random
):
    graph, outputs = drawn
    text = model_text(
        graph.body,
        inputs="float[1,4,4,5] x0, float[1,2,8,10] x1",
        output=", ".join(f"float[1,{','.join(map(str, graph.maps[o]))}] {o}" for o in outputs),
        **graph.arrays,
    )
    done = rewrite(
        text,
        *PASSES,
        draw=lambda plan: random.choice([None, *plan.candidates]),
        settles=False,
        exact=False,
        seed=graph.seed,
    )
    for before, after in done.pairs:
        # Sums cancel: rounding is relative to what was added up, at most tens of the peak.
        scale = max(1.0, float(np.abs(before).max()))
        assert before.shape == after.shape
        assert float(np.abs(before - after).max()) <= 2e-5 * scale


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_what_is_simply_less_work_is_all_done_in_one_run(rewrite, model_text, drawn):
    graph, outputs = drawn
    text = model_text(
        graph.body,
        inputs="float[1,4,4,5] x0, float[1,2,8,10] x1",
        output=", ".join(f"float[1,{','.join(map(str, graph.maps[o]))}] {o}" for o in outputs),
        **graph.arrays,
    )
    simpler = rewrite(
        text, *PASSES, draw=lambda plan: plan.candidates[0] if plan.simpler else None, exact=False
    )
    assert all(np.isfinite(after).all() for after in simpler.after)
