"""`edgeup report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeup.cli.options import given_path
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb


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
        typer.Option(
            "--output", "-o", parser=given_path, metavar="OUT.html", help="The page to write."
        ),
    ] = Path("report.html"),
    style: FormatOption = Format.TEXT,
) -> int:
    """Draw reports as one HTML file; several side by side, with what got worse marked."""

    def body(answer: Answer) -> bool:
        from rich.text import Text

        from edgeup.errors import EdgeupError
        from edgeup.files import check_goal, write_all
        from edgeup.html.files import html_of_several

        if output.suffix.lower() not in (".html", ".htm"):
            raise EdgeupError(f"-o {output} does not end in .html; name the page to write")
        check_goal(output)
        page, worse = html_of_several(reports)
        write_all({output: page})
        if answer.style is Format.JSON:
            answer.json({"page": str(output), "regressions": worse})
            return True
        for name, what in worse.items():
            if what:
                answer.show(Text(f"{name}: {', '.join(what)}", style="bold red"))
        if worse and not any(worse.values()):
            answer.show(Text("no regression against the first report", style="green"))
        answer.show(Text(f"wrote {output}"))
        return True

    return run_verb(style, body)
