"""`edgeup report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeup.cli.options import output_option
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb

_STYLES = {"bad": "bold red", "warn": "yellow", "good": "green"}


def report(
    reports: Annotated[
        list[Path],
        typer.Argument(
            metavar="A.json [B.json …]",
            help="Reports of any verb; of several, the first is what the others are held against.",
        ),
    ],
    output: Annotated[
        Path,
        output_option("OUT.html", "The page to write."),
    ] = Path("report.html"),
    style: FormatOption = Format.TEXT,
) -> int:
    """Draw reports as one HTML file; several side by side, with what got worse marked."""

    def body(answer: Answer) -> bool:
        from rich.text import Text

        from edgeup.errors import EdgeupError
        from edgeup.files import check_goals, write_all
        from edgeup.html.files import html_of_several, names_of
        from edgeup.html.held import headline

        if output.suffix.lower() not in (".html", ".htm"):
            raise EdgeupError(f"-o {output} does not end in .html; name the page to write")
        check_goals([output], reports)
        page, held = html_of_several(reports)
        write_all({output: page})
        if answer.style is Format.JSON:
            answer.json(
                {
                    "page": str(output),
                    "regressions": {one.name: list(one.worse) for one in held},
                    "compared": {one.name: list(one.compared) for one in held},
                    "not_compared": {one.name: dict(one.not_compared) for one in held},
                    "not_finite": {one.name: list(one.undefined) for one in held},
                }
            )
            return True
        for one in held:
            if one.worse:
                answer.show(Text(f"{one.name}: {', '.join(one.worse)}", style="bold red"))
            answer.show(Text(f"{one.name}: compared: {', '.join(one.compared) or 'nothing'}"))
            for why, headings in one.reasons().items():
                said = f"{one.name}: not compared: {', '.join(headings)}: {why}"
                answer.show(Text(said, style="yellow"))
        if held:
            words, style = headline(names_of(reports)[0], held)
            answer.show(Text(words, style=_STYLES[style]))
        answer.show(Text(f"wrote {output}"))
        return True

    return run_verb(style, body)
