"""Values of two graphs that correspond by what is done, whatever they are called."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeup.pipeline.verify.alike import name_alike
from edgeup.pipeline.verify.bisect import Bisector, FirstNode
from edgeup.pipeline.verify.correspondence import corresponding
from edgeup.runtime.tolerances import FP32_TOLERANCE

SIZE = 12
FEEDS = {"x": np.random.default_rng(3).uniform(-9, 9, (1, 4, SIZE, SIZE)).astype(np.float32)}
RNG = np.random.default_rng(8)
WEIGHTS = {f"w{i}": RNG.normal(0, 0.5, (4, 4, 3, 3)).astype(np.float32) for i in range(5)}
CONSTANTS = {
    **WEIGHTS,
    "six": np.array(6, np.float32),
    "zero": np.array(0, np.float32),
    "wide": RNG.normal(0, 0.5, (8, 4, 3, 3)).astype(np.float32),
    "head": RNG.normal(0, 0.5, (4, 2, 3, 3)).astype(np.float32),
    "blocks": np.array([1, 2, 2, 2, SIZE, SIZE]),
    "flat": np.array([1, 2, 2 * SIZE, 2 * SIZE]),
}
WIDE = f"1,4,{2 * SIZE},{2 * SIZE}"
CONV = "Conv <pads = [1, 1, 1, 1]>"


def model(body: str, goal: str = "y", shape: str = "1,4,12,12", **own: Any) -> ir.Model:
    """``body``: nodes as ONNX writes them, from x; constants are those above, or ``own``."""
    arrays = {**CONSTANTS, **own}
    text = f"""<ir_version: 9, opset_import: ["" : 18]>
        g (float[1,4,{SIZE},{SIZE}] x) => (float[{shape}] {goal}) {{ {body} }}"""
    made = onnx.parser.parse_model(text)
    held = [onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if n in body]
    made.graph.initializer.extend(held)
    onnx.checker.check_model(made, full_check=True)
    return ir.from_proto(onnx.shape_inference.infer_shapes(made))


def first(right: ir.Model, wrong: ir.Model) -> FirstNode:
    found = Bisector(right, wrong, FEEDS).first_difference(FP32_TOLERANCE)
    assert found is not None
    return found


def names(right: ir.Model, wrong: ir.Model) -> Mapping[str | None, str | None]:
    return {a.name: b.name for a, b in corresponding(right.graph, wrong.graph).items()}


BRANCHES = f"""
    [stem] a = {CONV} (x, w0)  [act] b = Relu (a)
    [left] c = {CONV} (b, w1)  [right] d = {CONV} (b, w2)
    [join] e = Add (c, d)      [head] y = {CONV} (e, w3)"""
RENAMED = f"""
    [n0] p = {CONV} (x, w0)  [n1] q = Relu (p)
    [n3] s = {CONV} (q, w2)  [n2] r = {CONV} (q, w1)
    [n4] t = Add (s, r)      [n5] y = {CONV} (t, w3)"""


def test_weights_tell_branches_apart() -> None:
    found = names(model(BRANCHES), model(RENAMED))
    assert found == {"x": "x", "a": "p", "b": "q", "c": "r", "d": "s", "e": "t", "y": "y"}
    # Rounded to bfloat16, by up to 0.4 %, they are the same.
    near = {n: (w.view(np.uint32) & 0xFFFF0000).view(np.float32) for n, w in WEIGHTS.items()}
    assert names(model(BRANCHES), model(RENAMED, **near)) == found


def test_fault_in_one_of_two_branches_is_found_in_a_renamed_graph() -> None:
    found = first(model(BRANCHES), model(RENAMED, w2=WEIGHTS["w2"] * 1.5))
    assert (found.node, found.candidate_node, found.among) == ("right", "n3", ("right",))


def test_in_doubt_nothing_corresponds() -> None:
    """Both branches have other weights: which is which cannot be told."""
    other = {"w1": WEIGHTS["w4"], "w2": WEIGHTS["w4"][::-1].copy()}
    found = names(model(BRANCHES), model(RENAMED, **other))
    assert found == {"x": "x", "a": "p", "b": "q", "e": "t", "y": "y"}
    assert first(model(BRANCHES), model(RENAMED, **other)).among == ("left", "right", "join")


def test_name_stands_against_structure() -> None:
    swapped = RENAMED.replace(" s ", " c ").replace("(s, r)", "(c, r)")
    found = names(model(BRANCHES), model(swapped))
    assert found["c"] == "c"  # though its weights are those of d


@pytest.mark.parametrize("order", ["relu", "relu6"])
def test_relu6_for_relu_is_named_at_the_activation(order: str) -> None:
    """As PyTorch exports them: the value is called relu or clip after the operator."""
    relu = model(f"[c0] a = {CONV} (x, w0) [r] relu = Relu (a) [c1] y = {CONV} (relu, w1)")
    clip = model(
        f"[c0] a = {CONV} (x, w0) [k] clip = Clip (a, zero, six) [c1] y = {CONV} (clip, w1)"
    )
    found = first(relu, clip) if order == "relu" else first(clip, relu)
    assert (found.node, found.candidate_node) == (("r", "k") if order == "relu" else ("k", "r"))
    kinds = [one.kind for one in found.diagnoses]
    assert kinds == ["ReLU6 for ReLU" if order == "relu" else "ReLU for ReLU6"]


SHUFFLES = {
    "operator": '[d] b = DepthToSpace <blocksize = 2, mode = "CRD"> (a)',
    "by hand": "[r0] p = Reshape (a, blocks) [t] q = Transpose <perm = [0, 3, 4, 1, 5, 2]> (p) "
    "[r1] b = Reshape (q, flat)",
}


@pytest.mark.parametrize("right", SHUFFLES)
def test_interleave_order_is_named_where_one_side_shuffles_by_hand(right: str) -> None:
    def side(name: str, value: str) -> ir.Model:
        body = f"[w] a = {CONV} (x, wide) {SHUFFLES[name]} [c] y = {CONV} (b, head)"
        return model(body.replace("b = ", f"{value} = ").replace("(b,", f"({value},"), shape=WIDE)

    found = first(side(right, "b"), side(next(n for n in SHUFFLES if n != right), "other"))
    assert found.node == ("d" if right == "operator" else "r1")
    assert [one.kind for one in found.diagnoses] == ["interleave order"]


def test_other_operator_corresponds_where_what_follows_is_the_same() -> None:
    right = f"[a] p = Tanh (x) [b] q = {CONV} (p, w0) [c] y = Neg (q)"
    wrong = f"[i] s = Sigmoid (x) [j] t = {CONV} (s, w0) [k] y = Neg (t)"
    assert names(model(right), model(wrong)) == {"x": "x", "p": "s", "q": "t", "y": "y"}
    assert first(model(right), model(wrong)).among == ("a",)


def test_folded_normalisation_is_no_counterpart() -> None:
    """The convolution's result is that of the Mul behind it in the reference."""
    right = model(f"[c] a = {CONV} (x, w0) [m] b = Mul (a, six) [r] y = Relu (b)")
    wrong = model(f"[d] p = {CONV} (x, w0) [s] y = Relu (p)", w0=WEIGHTS["w0"] * 6)
    assert names(right, wrong) == {"x": "x", "b": "p", "y": "y"}


def test_folded_convolution_that_keeps_the_name_is_what_the_scale_made() -> None:
    right = model(f"[c] a = {CONV} (x, w0) [m] b = Mul (a, six) [r] y = Relu (b)")
    wrong = model(f"[d] a = {CONV} (x, w0) [s] y = Relu (a)", w0=WEIGHTS["w0"] * 6)
    assert names(right, wrong) == {"x": "x", "b": "a", "y": "y"}
    assert names(wrong, right) == {"x": "x", "a": "b", "y": "y"}


def test_outputs_of_other_names_correspond_in_order() -> None:
    wrong = model(f"[c] p = {CONV} (x, w0) [s] z = Neg (p)", goal="z")
    found = first(model(f"[c] p = {CONV} (x, w0) [s] y = Relu (p)"), wrong)
    assert (found.node, found.value, found.candidate_op) == ("s", "y", "Neg")


def test_values_take_the_names_and_what_has_one_of_them_makes_way() -> None:
    right = model("[f] a = Relu (x) [g] b = Neg (a) [h] y = Relu (b)")
    wrong = model("[f] b = Relu (x) [g] a = Neg (b) [i] y = Relu (a)")
    # By name a is a, though it is made by Neg: a name stands. Nothing is left over.
    assert name_alike(right, wrong) == {}
    third = model("[f] p = Relu (x) [g] q = Neg (p) [w] a = Shape (p) [i] y = Relu (q)")
    assert name_alike(right, third) == {"a~of the candidate": "a"}
    assert [v.name for n in third.graph for v in n.outputs] == ["a", "b", "a~of the candidate", "y"]


def counted(*activations: str) -> ir.Model:
    """Convolutions with activations; values are called as PyTorch's exporter counts them."""
    body, value, number = "", "x", {"relu": 0, "clip": 0}
    for place, kind in enumerate(activations):
        name = f"{kind}_{number[kind]}" if number[kind] else kind
        number[kind] += 1
        args = f"conv{place}" + (", zero, six" if kind == "clip" else "")
        body += f" [c{place}] conv{place} = {CONV} ({value}, w{place}) "
        body += f"[{name}_node] {name} = {kind.capitalize()} ({args})"
        value = name
    return model(f"{body} [head] y = Neg ({value})")


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_counted_names_that_moved_on_do_not_mislead(wrong: int) -> None:
    """ReLU6 for one of three ReLUs: behind it relu_1 is what relu_2 was."""
    kinds = ["relu"] * 3
    kinds[wrong] = "clip"
    right, other = counted(*["relu"] * 3), counted(*kinds)
    for found in (first(right, other), first(other, right)):
        assert found.among == (found.node,)
        assert {found.op, found.candidate_op} == {"Relu", "Clip"}
        assert len(found.diagnoses) == 1
    pairs = names(right, other)
    for place in range(3):
        ours, theirs = (list(m.graph)[2 * place + 1].outputs[0].name for m in (right, other))
        assert pairs[ours] == theirs
