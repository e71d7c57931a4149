"""Markup that cannot be forgotten to be escaped: text is text until `tag` has made markup of it.

Names in a report come from ONNX files and JSON of any origin. A plain string that is given as a
child or an attribute is always escaped; only what these functions return is taken as it is.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

_VOID = frozenset({"br", "img", "meta"})
_SHOWN_AS_THEY_ARE = "\n\t"


class Markup(str):
    """HTML that was made by `tag`."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[str]"

NOTHING = Markup("")


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """An element; ``class_`` is the attribute class, ``aria_label`` is aria-label.

    Args:
        name: of the element.
        children: text, markup, or several of them.
        attributes: without those that are None; floats are written with two decimals.
    """
    written = "".join(
        f' {_attribute(key)}="{html.escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """One after the other."""
    return Markup("".join(_escaped(part) for child in children for part in _parts(child)))


def _parts(child: Child) -> Iterable[str]:
    return (child,) if isinstance(child, str) else child


def _escaped(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(_visible(text))


def _visible(text: str) -> str:
    """With an escape for each character that would be invisible, or would turn the line around."""
    return "".join(
        c
        if c in _SHOWN_AS_THEY_ARE or not unicodedata.category(c).startswith("C")
        else c.encode("unicode_escape", "backslashreplace").decode("ascii")
        for c in text
    )


def _attribute(key: str) -> str:
    if key.startswith("aria_"):
        return key.replace("_", "-")
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return _visible(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int | Collection[int] = 1,
    label: str,
    class_: str | None = None,
) -> Markup:
    """A table that scrolls sideways by itself where the page is too narrow.

    Args:
        headings: of the columns.
        rows: cells of text or markup; the first heads its row.
        left: so many columns are text, or these are; the others are numbers, and stand at the
            right.
        label: what it shows, for who does not see it.
        class_: of its look.
    """
    text = range(left) if isinstance(left, int) else left
    sides = ["text" if i in text else "number" for i in range(len(headings))]
    head = tag(
        "tr",
        [tag("th", heading, class_=s, scope="col") for heading, s in zip(headings, sides)],  # noqa: B905 - of one length
    )
    body = [
        tag(
            "tr",
            [
                tag("td" if i else "th", cell, class_=s, scope=None if i else "row")
                for i, (cell, s) in enumerate(zip(row, sides))  # noqa: B905 - as many as headings
            ],
        )
        for row in rows
    ]
    return scroll(label, tag("table", tag("thead", head), tag("tbody", body), class_=class_))


def scroll(label: str, *children: Child) -> Markup:
    """What may be wider than a phone: it scrolls by itself, by keyboard as well."""
    return tag("div", *children, class_="scroll", role="region", aria_label=label, tabindex="0")


def first_of_all(heading: str, some: Markup, whole_heading: str, whole: Markup) -> Markup:
    """A table of what matters most, and all of it behind a line; on paper the whole one alone."""
    return join(
        tag("div", tag("h3", heading), some, class_="screen"),
        tag("details", tag("summary", whole_heading), whole),
    )


def facts(rows: Mapping[str, str]) -> Markup:
    """A name and a text per row; rows without a text are left out."""
    return tag(
        "dl", [join(tag("dt", name), tag("dd", text)) for name, text in rows.items() if text]
    )
