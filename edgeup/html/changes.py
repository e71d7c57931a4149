"""What was rewritten or left alone and why, and what a target does not take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from edgeup.html import words
from edgeup.html.markup import Markup, join, table, tag

Section = Mapping[str, Any]

_Row = TypeVar("_Row")

_SHOWN = 20
_LINES_SHOWN = 6


def rewrites(report: Section) -> Markup:
    """Counts by form, then every site with its reason and its cost before and after."""
    sites = report["rewrites"]
    if not sites:
        return tag("p", "No pass found anything to rewrite.")
    counts = Counter((site["pass"], site["form"]) for site in sites)
    said = [
        tag("li", f"{rule}: {form}, {words.count(count, 'site')}")
        for (rule, form), count in counts.items()
    ]
    return join(tag("ul", said), _folded("site", sites, _sites))


def _sites(sites: Sequence[Section]) -> Markup:
    return table(
        ["nodes", "pass", "form", "why", "MACs before", "after"],
        [
            [
                ", ".join(site["nodes"]),
                site["pass"],
                site["form"],
                site["why"],
                words.macs(site.get("macs_before")),
                words.macs(site.get("macs_after")),
            ]
            for site in sites
        ],
        left=4,
        label="Rewritten sites",
    )


def refusals(report: Section) -> Markup:
    """Sites that look like one of a pass's and are not to be rewritten."""
    left = report["refusals"]
    if not left:
        return tag("p", "Nothing was refused: every site that a pass recognised, it could rewrite.")
    return _folded("refusal", left, _refused)


def _refused(left: Sequence[Section]) -> Markup:
    rows = [[one["node"], one["pass"], one["reason"]] for one in left]
    return table(["node", "pass", "reason"], rows, left=3, label="What was left alone")


def findings(report: Section) -> Markup:
    """What `edgeup check` found, node by node."""
    nodes = report["nodes"]
    if not nodes:
        return tag("p", "Every node is accepted.", class_="good")
    return _folded("finding", nodes, _found)


def _found(nodes: Sequence[Section]) -> Markup:
    keys = ("node", "op", "verdict", "reason", "remedy", "rule", "evidence")
    rows = [[str(one.get(key) or "") for key in keys] for one in nodes]
    return table(keys, rows, left=len(keys), label="Findings by node")


def left_to_the_gpu(report: Section) -> Markup:
    """The nodes that a board's DLA does not take."""
    return _folded("node", report["fallbacks"], _fallbacks)


def in_fp32(report: Section) -> Markup:
    """The nodes that `edgeup check --precision` says stay in fp32."""
    section = report["precision"]
    if not section["in_fp32"]:
        return tag("p", f"Every node has {section['asked']}.", class_="good")
    return _folded("node", section["in_fp32"], _fallbacks)


def _fallbacks(nodes: Sequence[Section]) -> Markup:
    keys = ("node", "op", "reason", "evidence")
    rows = [[str(one[key]) for key in keys] for one in nodes]
    return table(keys, rows, left=4, label="Nodes and reasons")


def nvidia(report: Section) -> Markup:
    """What NVIDIA's own library said of the model."""
    asked = report["nvidia"]
    what = "parser and builder" if asked["stage"] == "build" else "parser"
    verdict = "accepted" if asked["accepted"] else f"refused when asked to {asked['stage']}"
    told = (
        ""
        if asked["decides"]
        else " It is another version's than the target's: it does not decide."
    )
    errors = [
        tag("li", ": ".join(filter(None, (" ".join(filter(None, where)), one["text"]))))
        for one in asked["errors"]
        for where in [(one["op"], one["node"])]
    ]
    return join(
        tag("p", f"NVIDIA's {what}, {asked['package']} {asked['version']}: {verdict}.{told}"),
        tag("ul", errors) if errors else "",
        tag("p", f"Disagreement: {asked['disagreement']}.") if asked["disagreement"] else "",
    )


def folded_lines(noun: str, lines: Sequence[str], class_: str) -> Markup:
    """A paragraph each; behind a line where there are many."""

    def draw(some: Sequence[str]) -> Markup:
        return join(*(tag("p", line, class_=class_) for line in some))

    return _folded(noun, lines, draw, _LINES_SHOWN)


def _folded(
    noun: str, rows: Sequence[_Row], draw: Callable[[Sequence[_Row]], Markup], shown: int = _SHOWN
) -> Markup:
    """The first ones, and the others behind a line where there are many."""
    if len(rows) <= shown:
        return draw(rows)
    return join(
        draw(rows[:shown]),
        tag(
            "details",
            tag("summary", f"The other {words.count(len(rows) - shown, noun)}"),
            draw(rows[shown:]),
        ),
    )
