"""The checker's core: what is walked, what is known, and that the model stays as it was."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from edgeup.export.capability.check import check_model, is_accepted, is_refused, prepared
from edgeup.export.capability.contract import Fault, Finding, Rule, Verdict
from edgeup.export.capability.known import is_weights
from edgeup.export.passes.contract import Aim
from edgeup.export.passes.facts import constant

RTX = Aim("rtx", "tensorrt-rtx", None, 20)


def parsed(text: str) -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model(text))


def graph(body: str, inputs: str = "float[1,1,4,4] x", constants: str = "") -> ir.Model:
    head = '<ir_version: 9, opset_import: ["": 20]>'
    return parsed(f"{head} g ({inputs}) => (float y) <{constants}> {{ {body} }}")


def rule(name: str, verdict: Verdict, *operators: str) -> Rule:
    return Rule(name, operators, lambda node, aim: Fault(verdict, f"{node.op_type} seen", "test"))


def test_a_size_computed_from_a_fixed_shape_is_known() -> None:
    body = """s = Shape(x) f = Cast<to=1>(s) d = Mul(f, k) z = Cast<to=7>(d)
              y = Resize<mode = "nearest">(x, , , z)"""
    work = prepared(graph(body, constants="float[4] k = {1, 1, 2, 3}"))
    sizes = work.graph[-1].inputs[3]
    numbers = constant(sizes)
    assert numbers is not None
    assert numbers.tolist() == [1, 1, 8, 12]
    assert not is_weights(sizes)


def test_a_number_that_is_fed_is_not_known() -> None:
    work = prepared(
        graph("z = Add(s, k) y = Reshape(x, z)", "float[4] x, int64[1] s", "int64[1] k = {0}")
    )
    assert constant(work.graph[-1].inputs[1]) is None


def test_an_initializer_that_can_be_fed_is_no_constant() -> None:
    model = graph("z = Neg(k) y = Add(x, z)", "float[2] x, float[2] k", "float[2] k = {1, 2}")
    work = prepared(model)
    assert not is_weights(work.graph[0].inputs[0])
    assert constant(work.graph[0].outputs[0]) is None


def test_an_operator_that_fails_on_its_constants_leaves_them_unknown() -> None:
    work = prepared(
        graph("z = Reshape(k, s) y = Add(x, z)", "float[2] x", "float[2] k={1,2}, int64[1] s={7}")
    )
    assert constant(work.graph[0].outputs[0]) is None


@pytest.mark.parametrize(
    ("condition", "seen"), [("bool c = {0}", ["If"]), ("bool c = {1}", ["If", "Det"])]
)
def test_the_branch_that_a_constant_rules_out_is_not_read(condition: str, seen: list[str]) -> None:
    body = """y = If<then_branch = t () => (float p) { p = Det(x) },
                     else_branch = e () => (float q) { q = Constant<value = float {1}>() }>(c)"""
    spy = rule("spy", Verdict.WARNING, "If", "Det")
    found = check_model(graph(body, "float[2,2] x", condition), RTX, [spy])
    assert [finding.op for finding in found] == seen


def test_a_function_of_the_model_is_looked_into() -> None:
    model = parsed(
        """<ir_version: 9, opset_import: ["": 20, "own": 1]>
           g (float[2,2] x) => (float y) { y = own.twice(x) }
           <domain: "own", opset_import: ["": 20]> twice (a) => (b) { d = Det(a) b = Add(d, d) }"""
    )
    assert [(one.op, one.rule) for one in check_model(model, RTX)] == [("Det", "rtx-operator")]
    assert [node.op_type for node in model.graph] == ["twice"], "the given model is changed"


def test_an_unknown_operator_is_refused_with_near_names() -> None:
    (found,) = check_model(graph("y = Resise(x)"), RTX)
    assert found.verdict is Verdict.REFUSED
    assert "Resize" in found.reason


def test_another_domain_is_refused() -> None:
    model = parsed(
        """<ir_version: 9, opset_import: ["": 20, "com.microsoft": 1]>
           g (float[2] x) => (float y) { y = com.microsoft.Gelu(x) }"""
    )
    (found,) = check_model(model, RTX)
    assert "com.microsoft.Gelu is no operator of ONNX" in found.reason


def test_one_finding_per_verdict_and_the_first_rule_speaks() -> None:
    rules = [
        rule("first", Verdict.WARNING, "Relu"),
        rule("second", Verdict.WARNING, "Relu"),
        rule("third", Verdict.DIFFERENT, "Relu"),
        rule("other", Verdict.REFUSED, "Erf"),
    ]
    found = check_model(graph("y = Relu(x)"), RTX, rules)
    assert [finding.rule for finding in found] == ["first", "third"]
    assert found[0].node == "y", "a node without a name is called after its output"


def test_onnx_runtime_has_no_rules() -> None:
    everything = [rule("all", Verdict.REFUSED)]
    assert check_model(graph("y = Relu(x)"), Aim("cpu", "onnxruntime", None, 20), everything) == []


@pytest.mark.parametrize(
    ("verdict", "accepted", "refused"),
    [
        (Verdict.WARNING, True, False),
        (Verdict.DIFFERENT, False, False),
        (Verdict.REFUSED, False, True),
    ],
)
def test_what_the_verdicts_mean(verdict: Verdict, accepted: bool, refused: bool) -> None:
    findings = [Finding("n", "Relu", verdict, "rule", "evidence", "reason", "")]
    assert is_accepted(findings) is accepted
    assert is_refused(findings) is refused
