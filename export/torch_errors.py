"""One line from the long chains of errors that torch's exporter raises."""

from __future__ import annotations

import re

_NO_TRANSLATION = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")
_KNOWN_CAUSES = {
    "GuardOnDataDependentSymNode": "forward decides by the value of a tensor, which a graph "
    "cannot follow; decide by shapes, or with torch.where",
    "translating node return": "forward returns something that is no tensor; return tensors, "
    "or dicts and tuples of them",
}
_TRANSLATING = re.compile(r"translating node .*?target=(?:torch\.ops\.)?([\w.]+)")


def reason_of(error: BaseException) -> str:
    """One line from a chain of errors: the operator where one is to blame, else the root cause."""
    links = [error]
    while links[-1].__cause__ is not None:
        links.append(links[-1].__cause__)
    for mark, reason in _KNOWN_CAUSES.items():
        if any(mark in f"{type(link).__name__}: {link}" for link in links):
            return reason
    missing = next((m for e in links if (m := _NO_TRANSLATION.search(str(e)))), None)
    if missing:
        return f"operator {missing[1]} has no translation to ONNX; replace it in the module"
    root = links[-1]
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    reason = f"{type(root).__name__}: {lines[0]}" if lines else type(root).__name__
    culprit = next((m for e in links if (m := _TRANSLATING.search(str(e)))), None)
    return f"operator {culprit[1]}: {reason}" if culprit else reason
