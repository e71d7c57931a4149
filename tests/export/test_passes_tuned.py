from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeup.errors import EdgeupError
from edgeup.export.optimize import Optimized, optimize
from edgeup.export.passes.contract import AS_WRITTEN, Aim, Candidate, Plan
from edgeup.export.passes.tuned import Judge, Verdict, only_required, site_hash, tuned_choice
from edgeup.spec import TensorSpec

AIM = Aim("test", "onnxruntime", None, 17)


class Doubling:
    """A stand-in for a rule: Mul by 2 as Add to itself, or as a sum of three."""

    name = "double"

    def __init__(self, *, required: bool = False, simpler: bool = False) -> None:
        self.flags = {"required": required, "simpler": simpler}

    def check(self, node: ir.Node, aim: Aim) -> Plan | None:
        if node.op_type != "Mul":
            return None
        return Plan(
            nodes=(node,),
            inputs=(node.inputs[0],),  # type: ignore[arg-type]  # Mul has both inputs
            outputs=(node.outputs[0],),
            candidates=(
                Candidate("add", lambda build, x: [build.op("Add", [x[0], x[0]])]),
                Candidate("sum", lambda build, x: [build.op("Sum", [x[0], x[0]])]),
            ),
            why="doubles",
            **self.flags,
        )


class Book(dict[str, Verdict]):
    """A memory."""

    def put(self, key: str, verdict: Verdict) -> None:
        self[key] = verdict


class Judged:
    """A judge that knows the answer, and counts how often it is asked."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.asked: list[tuple[list[str], tuple[TensorSpec, ...]]] = []

    def __call__(self, forms: Mapping[str, bytes], specs: tuple[TensorSpec, ...]) -> Verdict:
        for content in forms.values():
            onnx.checker.check_model(content, full_check=True)
        self.asked.append((list(forms), specs))
        return Verdict(self.form, 1.5, 1.4, 1.6)


@pytest.fixture
def chain(model_text: Callable[..., str]) -> Callable[..., ir.Model]:
    def model(*shapes: str, two: Any = 2.0) -> ir.Model:
        """One Mul for each input; all have the same weights."""
        names = [f"x{i}" for i in range(len(shapes))]
        body = " ".join(f"y{i} = Mul({name}, two)" for i, name in enumerate(names))
        text = model_text(
            body,
            inputs=", ".join(
                f"float[{shape}] {name}" for shape, name in zip(shapes, names, strict=True)
            ),
            output=", ".join(f"float[{shape}] y{i}" for i, shape in enumerate(shapes)),
            two=np.float32(two),
        )
        return ir.from_proto(onnx.parser.parse_model(text))

    return model


def forms_of(done: Optimized) -> list[str]:
    return [site.form for site in done.sites]


def run(model: ir.Model, judge: Judge, memory: Book, **flags: bool) -> Optimized:
    return optimize(model, AIM, tuned_choice(judge, memory), passes=[Doubling(**flags)])


@pytest.mark.parametrize("form", ["add", "sum", AS_WRITTEN])
def test_the_form_that_was_judged_best_is_taken(chain: Any, form: str) -> None:
    judge = Judged(form)
    done = run(chain("2,3"), judge, Book())
    assert forms_of(done) == [form]
    assert judge.asked == [
        ([AS_WRITTEN, "add", "sum"], (TensorSpec("input_0", (2, 3), "float32"),))
    ]
    assert "1.50 times as fast as written (1.40 to 1.60)" in done.sites[0].why


def test_equal_sites_are_judged_once_and_others_by_themselves(chain: Any) -> None:
    judge, memory = Judged("add"), Book()
    run(chain("2,3", "2,3", "3,2"), judge, memory)
    assert [specs[0].shape for _, specs in judge.asked] == [(2, 3), (3, 2)]
    assert len(memory) == 2


def test_what_is_remembered_is_not_judged_again(chain: Any) -> None:
    memory = Book()
    first = run(chain("2,3"), Judged("sum"), memory)
    again = Judged("add")
    second = run(chain("2,3", two=7.0), again, memory)  # other weights, same site
    assert again.asked == []
    assert forms_of(second) == forms_of(first) == ["sum"]


def test_a_form_that_no_longer_exists_is_judged_again(chain: Any) -> None:
    memory, judge = Book(), Judged("add")
    run(chain("2,3"), Judged("sum"), memory)
    (key,) = memory
    memory[key] = Verdict("a form of another version", 2.0, 1.9, 2.1)
    assert forms_of(run(chain("2,3"), judge, memory)) == ["add"]
    assert len(judge.asked) == 1


def test_what_the_target_refuses_as_written_is_not_a_candidate_as_written(chain: Any) -> None:
    judge = Judged("sum")
    done = run(chain("2,3"), judge, Book(), required=True)
    assert forms_of(done) == ["sum"]
    assert "1.50 times as fast as add" in done.sites[0].why
    assert judge.asked[0][0] == ["add", "sum"]


def test_less_of_the_same_work_is_taken_unmeasured(chain: Any) -> None:
    judge = Judged("sum")
    assert forms_of(run(chain("2,3"), judge, Book(), simpler=True)) == ["add"]
    assert judge.asked == []


@pytest.mark.parametrize(("required", "form"), [(False, AS_WRITTEN), (True, "add")])
def test_open_dimensions_cannot_be_measured(chain: Any, required: bool, form: str) -> None:
    judge = Judged("sum")
    done = run(chain("n,3"), judge, Book(), required=required)
    assert (forms_of(done), judge.asked) == ([form], [])
    assert "shapes are not known" in done.sites[0].why


def test_a_form_that_does_not_run_leaves_the_site_and_says_why(chain: Any) -> None:
    def broken(forms: Mapping[str, bytes], specs: tuple[TensorSpec, ...]) -> Verdict:
        raise EdgeupError("no kernel for it")

    memory = Book()
    done = run(chain("2,3"), broken, memory)
    assert forms_of(done) == [AS_WRITTEN]
    assert "no kernel for it" in done.sites[0].why
    assert not memory


@pytest.mark.parametrize(("required", "form"), [(False, AS_WRITTEN), (True, "sum")])
def test_taking_back_spares_what_is_required(chain: Any, required: bool, form: str) -> None:
    choose = only_required(tuned_choice(Judged("sum"), Book()), "the whole is not faster")
    done = optimize(chain("2,3"), AIM, choose, passes=[Doubling(required=required)])
    assert forms_of(done) == [form]
    assert ("the whole is not faster" in done.sites[0].why) is not required


def test_a_sites_hash_sees_what_decides_its_speed(model_text: Callable[..., str]) -> None:
    def hash_of(body: str, shape: str, pads: list[int], weight: float = 1.0) -> str:
        text = model_text(
            body,
            inputs=f"float[{shape}] x",
            output="float[n,c,h,w] y",
            w=np.full((2, 2, 3, 3), weight, np.float32),
            pads=np.array(pads),
        )
        return site_hash({AS_WRITTEN: ir.from_proto(onnx.parser.parse_model(text))})

    body, pads = "p = Pad(x, pads) y = Conv(p, w)", [0, 0, 1, 1, 0, 0, 1, 1]
    one = hash_of(body, "1,2,8,8", pads)
    assert one == hash_of(body, "1,2,8,8", pads, weight=3.0)
    assert one == hash_of(body.replace("p", "q").replace("qads", "pads"), "1,2,8,8", pads)
    others = {
        hash_of(body, "1,2,8,9", pads),
        hash_of(body, "1,2,8,8", [0, 0, 2, 2, 0, 0, 0, 0]),
        hash_of(body.replace("Conv", "Conv<strides = [2, 2]>"), "1,2,8,8", pads),
        hash_of(body.replace("(p, w)", "(x, w)"), "1,2,8,8", pads),
    }
    assert len(others | {one}) == 5
