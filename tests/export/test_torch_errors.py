"""One line out of torch's chains of errors."""

from __future__ import annotations

from itertools import pairwise

from edgeup.export.torch_errors import reason_of


def chain(*links: Exception) -> Exception:
    for outer, inner in pairwise(links):
        outer.__cause__ = inner
    return links[0]


def test_root_cause_in_its_first_line():
    error = chain(RuntimeError("step 1/3 of many lines"), ValueError("\n  no good\nsecond line"))
    assert reason_of(error) == "ValueError: no good"


def test_root_cause_without_text():
    assert reason_of(chain(RuntimeError("step 1/3"), AssertionError())) == "AssertionError"


def test_operator_whose_translation_failed():
    error = chain(
        RuntimeError("step 3/3"),
        RuntimeError(
            "Error when translating node %pad : [num_users=1] = "
            "call_function[target=torch.ops.aten.pad.default](args = (%x,), kwargs = {})."
        ),
        TypeError("mode circular"),
    )
    assert reason_of(error) == "operator aten.pad.default: TypeError: mode circular"
