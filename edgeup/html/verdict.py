"""Did it pass, and why: from the figures, too, and not from one word of the report alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.changes import folded_lines
from edgeup.html.markup import Markup, tag
from edgeup.html.summary import parity_words
from edgeup.html.times import against_original, against_other
from edgeup.html.verified import first_words

Report = Mapping[str, Any]


def refuse_untrue(document: Report) -> None:
    """Refuse a verdict, anywhere in a report, that is neither true nor false: "false" is a text.

    Raises:
        TypeError: there is one.
    """
    left: list[Any] = [document]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            for key in _VERDICTS:
                if key in part and not isinstance(part[key], bool):
                    raise TypeError(f"{key} is {part[key]!r}, and neither true nor false")
        inside = part.values() if isinstance(part, Mapping) else part
        left += [inner for inner in inside if isinstance(inner, (Mapping, list))]


_VERDICTS = ("passed", "accepted")


def passed(report: Report) -> bool | None:
    """Its verdict; of an older report, that of its parity.

    False too where what stands in the report contradicts it. None where nothing was judged: of an
    estimate, and of a profile without limits.
    """
    outputs = report.get("parity") or ()
    said = report.get("passed", report.get("accepted"))
    if said is None:
        said = all(output["passed"] for output in outputs) if outputs else None
    elif said and any(contradictions(report)):
        said = False
    return None if said and _is_unlimited(report) else said


def contradictions(report: Report) -> Iterator[str]:
    """What did not pass in a report, whatever its own verdict."""
    for output in report.get("parity") or ():
        if not output["passed"]:
            yield f"output {output['name']} did not pass"
    yield from (f"a limit does not hold: {line}" for line in _broken(report))
    for node in report.get("nodes") or ():
        if node["verdict"] in ("refused", "different"):
            yield f"node {node['node']} is {node['verdict']}"
    if not report.get("accepted", True):
        yield "the target does not accept it"
    if not report.get("read_back", {}).get("passed", True):
        yield "layers of the engine are not as asked"


def _broken(report: Report) -> list[str]:
    gates: Any = report.get("gates")
    return [str(line) for line in gates["failures"]] if isinstance(gates, Mapping) else []


def _is_unlimited(report: Report) -> bool:
    """Whether it is a profile that was held against nothing: it can but be measured."""
    return (
        report.get("kind") == "profile"
        and not report["gates"]["conditions"]
        and report["baseline"] is None
    )


def verdict(report: Report) -> Markup:
    """Passed or failed, and why; then what speaks against the figures."""
    good = passed(report)
    if good is None:
        head = tag("strong", _NO_VERDICT.get(str(report.get("kind")), "Report."))
    else:
        head = tag("strong", "Passed" if good else "FAILED", class_="good" if good else "bad")
    reasons = [tag("p", line) for line in reasons_of(report)]
    look = {True: "verdict", False: "verdict failed", None: "verdict open"}[good]
    return tag("div", tag("p", head), *reasons, _warnings(report), class_=look)


_NO_VERDICT = {
    "estimate": "An estimate: nothing was run.",
    "profile": "Measured; no limit was given.",
}


def _warnings(report: Report) -> Markup:
    """The notices; an estimate's stand beside its figures."""
    notices = [] if report.get("kind") == "estimate" else report.get("notices") or []
    return folded_lines("notice", [str(notice) for notice in notices], class_="warn")


def reasons_of(report: Report) -> Iterator[str | Markup]:
    """What the verdict rests on, a sentence each."""
    for output in report.get("parity", ()):
        yield parity_words(output)
    if not report.get("parity") and "parity" in report:
        yield "Nothing was compared, so nothing is proven."
    yield from _where_they_part(report)
    verdicts = [node["verdict"] for node in report.get("nodes", ())]  # of `edgeup check`
    for one, said in (("refused", "refused"), ("different", "taken, but computed otherwise")):
        if number := verdicts.count(one):
            yield f"The target: {words.count(number, 'node')} {said}."
    yield from _broken(report)
    precision = report.get("precision")
    if isinstance(precision, Mapping) and "asked" in precision:
        yield f"Precision: {precision['asked']}; {_kept(precision)}."
    yield from against_original(report.get("latency") or {})
    yield from against_other(report)
    if report.get("passed", report.get("accepted")) and (found := [*contradictions(report)]):
        yield f"The report calls itself passed, but {'; '.join(found)}."


def _where_they_part(report: Report) -> Iterator[str]:
    """The first node of two that differ, where `edgeup verify --bisect` looked for it."""
    for key, said in (("first_difference", "differs"), ("first_nonfinite", "is not finite")):
        if node := (report.get("bisect") or {}).get(key):
            reasons = "; ".join(node["unlike"])
            unlike = f" The two nodes differ in {reasons}." if reasons else ""
            yield f"{first_words(said, node)}: {node['op']} {node['node']}.{unlike}"


def _kept(precision: Report) -> str:
    if "in_fp32" in precision:  # of `edgeup check`, which converts nothing
        return f"{words.count(len(precision['in_fp32']), 'node')} would stay in fp32"
    kept: Any = precision.get("kept", precision.get("keep_fp32", ()))
    return f"{words.count(len(kept), 'node')} kept in fp32"
