"""The frame of every page: one file that loads nothing, allows nothing, and runs nothing."""

from __future__ import annotations

import base64
import hashlib

from edgeup.html.markup import Markup, join, tag
from edgeup.html.style import STYLE


def page(title: str, *sections: Markup) -> bytes:
    """A whole HTML file."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", tag("main", join(*sections)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n".encode()


def section(name: str, heading: str, *content: Markup) -> Markup:
    """A part of the page with a heading, and a name to link to."""
    return tag("section", tag("h2", heading, id=f"{name}-heading"), *content, id=name)


def _policy() -> str:
    """Nothing from anywhere; this very style, and pictures that are inside the file."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        f"form-action 'none'"
    )
