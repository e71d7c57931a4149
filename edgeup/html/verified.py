"""What only `edgeup verify` finds: all metrics of an output, the task's, causes, first nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.markup import Markup, facts, join, table, tag
from edgeup.html.plain import plain, said

Section = Mapping[str, Any]

_SHARES = (("50", "p50_abs"), ("90", "p90_abs"), ("99", "p99_abs"), ("99.9", "p99_9_abs"))
_SIDES = ("reference", "candidate")


def metrics(report: Section) -> Markup:
    """Every output's figures over all inputs, and then those of each input."""
    outputs = report["parity"]
    return join(
        tag("p", "Each figure is that of the input on which it is worst."),
        *(join(tag("h3", str(output["name"])), facts(_figures(output))) for output in outputs),
        tag("h3", "Further, by input"),
        table(_HEADINGS, _rows(outputs), left=2, label="Further metrics by input"),
    )


def _figures(output: Section) -> dict[str, str]:
    needed, tolerance = output["needed"], output["tolerance"]
    return {
        "shape": f"{words.shape(output['shape'])} {output['dtype']}",
        **{
            heading: words.small(output[key]) if output[key] is not None else ""
            for heading, key in (
                *(("max_abs", "max_abs"), ("max_rel", "max_rel"), ("mean |error|", "mean_abs")),
                ("RMSE", "rmse"),
            )
        },
        "cosine": "" if output["cosine"] is None else f"{output['cosine']:.8f}",
        "PSNR": "" if output["psnr"] is None else f"{output['psnr']:.1f} dB",
        "percentiles": ", ".join(
            f"{share} % of the elements within {words.small(output[key])}"
            for share, key in _SHARES
            if output[key] is not None
        ),
        "worst place": _worst(output["worst"]),
        "tolerance": f"{words.allowed(tolerance)}: {tolerance['reason']}",
        "judged by": str(tolerance.get("statistic") or "every element"),
        "tolerance needed": "; ".join(
            f"{key} {words.small(needed[key])} at that {other}"
            if needed[key] is not None
            else f"no {key} would do at that {other}"
            for key, other in (("atol", "rtol"), ("rtol", "atol"))
        ),
        "beyond it": f"{output['mismatches']:,} of {output['elements']:,} elements",
        "not finite": _strange(output["not_finite"]),
        "not comparable": str(output["reason"]),
    }


def _worst(worst: Section | None) -> str:
    if worst is None:
        return ""
    candidate, reference = (said(worst[side]) for side in reversed(_SIDES))
    return f"in {worst['case']} at {worst['index']}: {candidate}, and the reference {reference}"


def _strange(counts: Section) -> str:
    found = [
        f"{counts[side][kind]:,} {name} in the {side}"
        for side in _SIDES
        for kind, name in (("nan", "NaN"), ("inf", "infinite"))
        if counts[side][kind]
    ]
    return ", ".join(found) or "nothing"


_HEADINGS = (
    *("output", "input", "mean |error|", "PSNR, dB", *(f"{share} %" for share, _ in _SHARES)),
    *("needed atol", "needed rtol", "beyond"),
)


def _rows(outputs: Any) -> Iterator[list[str]]:
    """What the table of the parity does not hold."""
    for output in outputs:
        for case in output["cases"]:
            psnr = case["psnr"]
            yield [
                str(output["name"]),
                str(case["kind"]),
                words.small(case["mean_abs"]),
                words.NONE if psnr is None else f"{psnr:.1f}",
                *(words.small(case[key]) for _, key in _SHARES),
                *(words.small(case["needed"][key]) for key in ("atol", "rtol")),
                f"{case['mismatches']:,}",
            ]


def case_verdict(case: Section) -> Markup:
    """Passed, failed, or excused since rounding alone moves the reference."""
    if case.get("unstable"):
        return tag("span", "judges nothing", class_="warn")
    if case.get("passed"):
        return tag("span", "passed", class_="good")
    return tag("span", "FAILED", class_="bad")


def has_task(report: Section) -> bool:
    """Whether a task's metrics were asked for."""
    return any(output.get("task") or output.get("ground_truth") for output in _outputs(report))


def _outputs(report: Section) -> Any:
    found = report.get("parity")
    return found if isinstance(found, list) else ()


def task(report: Section) -> Markup:
    """The task's metrics: against the reference, and of both sides against the truth."""
    parts: list[Markup] = []
    for output in report["parity"]:
        if (found := output["task"]) is not None:
            parts.append(tag("h3", f"{output['name']}: the candidate against the reference"))
            rows = [{"kind": "worst of all", **found}, *found["cases"]]
            names = [name for name in found if name != "cases"]
            parts.append(_by_input(names, rows))
        if (truth := output["ground_truth"]) is not None:
            parts.append(tag("h3", f"{output['name']}: both against the ground truth"))
            parts.append(_against_truth(truth))
    return join(tag("p", f"Metrics of the task {report['task']}."), *parts)


def _by_input(names: list[str], rows: list[Section]) -> Markup:
    return table(
        ["input", *names],
        [[str(row["kind"]), *(words.quality(row[name]) for name in names)] for row in rows],
        label="Metrics of the task by input",
    )


def _against_truth(truth: Section) -> Markup:
    sides = (*_SIDES, "difference")
    rows = [
        [str(case["kind"]), name, *(words.quality(case[side][name]) for side in sides)]
        for case in ({"kind": "mean of all", **truth}, *truth["cases"])
        for name in case["candidate"]
    ]
    headings = ["input", "metric", *sides]
    return table(headings, rows, left=2, label="Metrics of the task against the truth")


def has_causes(report: Section) -> bool:
    """Whether something explains a difference."""
    return any(output.get("diagnoses") for output in _outputs(report))


def causes(report: Section) -> Markup:
    """What explains the difference, and what is left of it once that is undone."""
    rows = [
        [output["name"], one["words"], *(_short(one[f"error_{when}"]) for when in _WHEN)]
        for output in report["parity"]
        for one in output["diagnoses"]
    ]
    headings = ["output", "cause", "RMS error, of the peak", "with it undone"]
    return table(headings, rows, left=2, label="What explains the difference")


_WHEN = ("before", "after")


def first_nodes(report: Section) -> Markup:
    """Where the two sides part, as `edgeup verify --bisect` found it."""
    found = report["bisect"]
    lines = [
        _first_node(words_of, node)
        for key, words_of in (("first_difference", "differs"), ("first_nonfinite", "is not finite"))
        if (node := found[key])
    ]
    return join(*(lines or [tag("p", "No node is named; where outputs differ, a note says why.")]))


def _first_node(words_of: str, node: Section) -> Markup:
    away = node["error_of_peak"]
    error = "" if away is None else f", {words.small(away)} of the peak off"
    own = ""
    if node["candidate_node"] != node["node"]:
        own = f", in the candidate {node['candidate_op']} {node['candidate_node']}"
    site = node["site"]
    maker = f"{node['op']} {node['node']}{own}"
    if own and words_of == "is not finite":  # whatever stands there in the reference
        maker = f"{node['candidate_op']} {node['candidate_node']} of the candidate"
        maker += f", in the reference {node['op']} {node['node']}"
    return join(
        tag("p", f"{first_words(words_of, node)}: {maker}{error}."),
        facts(
            {
                "value": str(node["value"]),
                "one of these nodes": ", ".join(node["among"]) if len(node["among"]) > 1 else "",
                "of the candidate": str(node["candidate_value"]),
                "rewritten by": "" if site is None else f"{site['pass']}, form {site['form']}",
                "the two nodes differ in": "; ".join(node["unlike"]),
                "likely cause": "; ".join(one["words"] for one in node["diagnoses"]),
                "found in": f"{words.count(node['runs'], 'run')}, "
                f"{words.megabytes(node['peak_bytes'])} held at most",
            }
        ),
    )


def first_words(words_of: str, node: Section) -> str:
    """What is said before a node's name: several may stand between two values of both sides."""
    if len(node["among"]) > 1 and node["candidate_value"] == node["value"]:
        return f"First value that both sides have and that {words_of}, made by"
    return f"First node whose output {words_of}"


def fp32_nodes(report: Section) -> Markup:
    """What must stay fp32 for the tolerance to be reached, as ``--find-fp32-nodes`` found it."""
    found = report["fp32_nodes"]
    enough = "" if found["enough"] else " Even then the tolerance is NOT reached."
    least = "" if found["minimal"] else " Not each was tried to be left out."
    return join(
        tag(
            "p",
            f"{words.count(len(found['nodes']), 'node')} must stay fp32 while the rest is in "
            f"{found['precision']}, after {words.count(found['runs'], 'run')}.{enough}{least}",
        ),
        table(
            ["node", "why"],
            [[one["node"], one["reason"]] for one in found["nodes"]],
            left=2,
            label="Nodes that must stay fp32",
        ),
    )


def sides(report: Section) -> Markup:
    """What was compared, and on what."""
    inputs = {**report["inputs"], "inputs": _tensors(report["inputs"]["inputs"])}
    return join(
        *(join(tag("h3", side.capitalize()), plain(report[side])) for side in _SIDES),
        tag("h3", "Inputs"),
        plain({**inputs, "NaN and infinity fail": bool(report["validate"])}),
    )


def _tensors(specs: Any) -> str:
    return ", ".join(f"{one['name']} {words.shape(one['shape'])} {one['dtype']}" for one in specs)


def _short(value: Any) -> str:
    return words.NONE if value is None else f"{value:.4g}"
