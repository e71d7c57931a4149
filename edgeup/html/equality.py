"""Parity: the figures of each output on each kind of input, and pictures of the worst case."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.markup import Markup, join, table, tag
from edgeup.html.summary import parity_words
from edgeup.html.verified import case_verdict

Section = Mapping[str, Any]

_PNG = b"\x89PNG\r\n\x1a\n"
_ABOUT = {
    "input": "input",
    "reference": "reference",
    "candidate": "candidate",
    "error": "where they differ",
}


def equality(report: Section) -> Markup:
    """A verdict in words per output, a table, notes."""
    outputs = report["parity"]
    if not outputs:
        return tag("p", "Nothing was compared.", class_="warn")
    said = [
        tag("p", parity_words(output), class_="good" if output["passed"] else "bad")
        for output in outputs
    ]
    notes = [
        tag("p", f"{output['name']}: {note}", class_="warn")
        for output in outputs
        for note in output.get("notes", ())
    ]
    headings = ["output", "input", "verdict", "max_abs", "max_rel", "rmse", "cosine"]
    return join(
        *said, table(headings, _rows(outputs), left=3, label="Parity by kind of input"), *notes
    )


def _rows(outputs: Any) -> Iterator[list[str]]:
    for output in outputs:
        for case in (*output.get("cases", ()), {"kind": "worst", **output}):
            cosine = case.get("cosine")
            yield [
                str(output["name"]),
                str(case["kind"]),
                case_verdict(case),
                *(words.small(case.get(key)) for key in ("max_abs", "max_rel", "rmse")),
                words.NONE if cosine is None else f"{cosine:.8f}",
            ]


def worst_case(report: Section) -> Markup:
    """The pictures of each output."""
    return join(*(_output(output) for output in report["worst_case"]))


def _output(output: Section) -> Markup:
    channel = (
        f", channel {output['channel'] + 1} of {output['channels']}, where the error is largest"
        if output["channels"] > 1
        else ""
    )
    scale = output["scale"]
    small = (
        f" Of {scale}×{scale} pixels the middle one is shown, and of the error the largest."
        if scale > 1
        else ""
    )
    pictures = [_figure(picture) for picture in output["pictures"]]
    return join(
        tag("h3", f"Output {output['output']} on input of kind {output['case']}"),
        tag("p", f"The case that is nearest to its tolerance, or beyond it{channel}.{small}"),
        tag("div", *pictures, class_="pictures"),
    )


def _figure(picture: Section) -> Markup:
    about = _ABOUT.get(picture["shows"], str(picture["shows"]))
    named = " ".join(filter(None, (about, str(picture.get("name") or ""))))
    caption = ": ".join(filter(None, (named, _values(picture))))
    return tag(
        "figure",
        tag("img", src=_data_uri(picture["png"]), alt=caption, loading="lazy"),
        tag("figcaption", caption),
    )


def _values(picture: Section) -> str:
    """Its own range; where the colours' is another one, that of both sides, this as well."""
    own, colours = (_short(picture.get(key)) for key in ("values", "range"))
    if picture["shows"] == "error" or own == colours:
        return colours
    return "; ".join(filter(None, (own, f"colours: {colours} on both" if colours else "")))


def _short(limits: Any) -> str:
    return f"{float(limits[0]):.3g} to {float(limits[1]):.3g}" if limits else ""


def _data_uri(text: Any) -> str:
    """Only what is a PNG: a report may come from anywhere.

    Raises:
        ValueError: it is not.
    """
    try:
        content = base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ValueError("a picture is not base64") from error
    if not content.startswith(_PNG):
        raise ValueError("a picture is not a PNG")
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
