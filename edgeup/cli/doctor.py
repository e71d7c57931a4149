"""`edgeup doctor`: what this machine has, what is missing, and the command that brings it."""

from __future__ import annotations

from dataclasses import asdict

from edgeup.cli.verb import Answer, Format, FormatOption, run_verb

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}


def doctor(style: FormatOption = Format.TEXT) -> int:
    """Show versions, board and JetPack, and what to install or change."""

    def body(answer: Answer) -> bool:
        from edgeup.runtime.environment import examine
        from edgeup.runtime.findings import findings
        from edgeup.runtime.machine import Machine

        machine = examine(Machine())
        found = findings(machine)
        if answer.style is Format.JSON:
            answer.json(
                {
                    "environment": machine.to_json(),
                    "findings": [asdict(finding) for finding in found],
                }
            )
            return True
        from rich.table import Table
        from rich.text import Text

        from edgeup.cli.summary import facts

        shown = {key: value for key, value in machine.to_json().items() if value}
        answer.show(facts({key: _text(value) for key, value in shown.items()}))
        table = Table.grid(padding=(0, 2))
        for finding in found:
            word, colour = _MARKS[finding.level]
            remedy = f"\n{finding.remedy}" if finding.remedy else ""
            table.add_row(Text(word, style=colour), Text(f"{finding.what}{remedy}"))
        answer.show("", table)
        return True

    return run_verb(style, body)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items() if inner)
    if isinstance(value, list):
        return ", ".join(_text(inner) for inner in value)
    return str(value)
