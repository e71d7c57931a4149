"""Several values after one option, as Polygraphy takes them: ``--rtol out0:1e-3 out1:1e-4``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from typer.core import TyperCommand

_BY_OUTPUT = re.compile(
    r"(.*:)?([0-9]*\.?[0-9]+(e[-+]?[0-9]+)?|elemwise|max|mean|median|quantile)", re.IGNORECASE
)
_SHAPE = re.compile(r"(.*:)?\[?[0-9]+([x,][0-9]+)*\]?")
_OPTIONS = {
    **dict.fromkeys(("--rtol", "--atol", "--check-error-stat", "--error-quantile"), _BY_OUTPUT),
    **dict.fromkeys(("--shape", "--shapes", "--input-shapes"), _SHAPE),
}
"""With what a further value looks like; no side of a comparison does."""


class SeveralValues(TyperCommand):
    """A verb whose options by output may be given once for all of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class, with the option repeated before each value."""
        return super().parse_args(ctx, list(repeated(args)))


def repeated(arguments: Sequence[str]) -> Iterator[str]:
    """``--rtol a b`` as ``--rtol a --rtol b``; all else as it is."""
    option, has_value = "", False
    for word in arguments:
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            option, has_value = (name if name in _OPTIONS else ""), bool(equals)
        elif option and not has_value:
            has_value = True
        elif option and _OPTIONS[option].fullmatch(word):
            yield option
        else:
            option = ""
        yield word
