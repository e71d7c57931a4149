"""The verbs of `edgeup`, and the map from errors to exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from edgeup.cli.build import as_trtexec, build
from edgeup.cli.check import check
from edgeup.cli.compare import compare
from edgeup.cli.doctor import doctor
from edgeup.cli.estimate import estimate
from edgeup.cli.export import export
from edgeup.cli.listing import listing
from edgeup.cli.optimize import optimize
from edgeup.cli.profile import as_trtexec as profile_as_trtexec
from edgeup.cli.profile import profile
from edgeup.cli.report import report
from edgeup.cli.run import run
from edgeup.cli.several_values import SeveralValues
from edgeup.cli.verb import WRONG_REQUEST, complain, tell_bug
from edgeup.cli.verify import verify

app = typer.Typer(
    name="edgeup",
    help="Upsampling networks from PyTorch or ONNX to NVIDIA Jetson: exported, proven, timed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("export")(export)
app.command("optimize")(optimize)
app.command("check")(check)
app.command("build", context_settings={"token_normalize_func": as_trtexec})(build)
app.command("verify", cls=SeveralValues)(verify)
app.command("compare")(compare)
app.command("estimate")(estimate)
app.command("profile", context_settings={"token_normalize_func": profile_as_trtexec})(profile)
app.command("report")(report)
app.command("run")(run)
app.command("list")(listing)
app.command("doctor")(doctor)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print edgeup's version and exit."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        sys.stdout.write(f"edgeup {installed('edgeup')}\n")
        raise typer.Exit


def run_command(given: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    try:
        status = app(list(given), prog_name="edgeup", standalone_mode=False)
    except typer.TyperException as error:  # an unknown option, a value of the wrong kind
        if message := error.format_message():
            complain(f"{message} ('edgeup --help' shows what there is)")
        return WRONG_REQUEST
    except typer.Abort:
        complain("interrupted: nothing was written")
        return WRONG_REQUEST
    except Exception:  # the status must not say "check failed"
        complain(tell_bug())
        return WRONG_REQUEST
    return status if isinstance(status, int) else 0
