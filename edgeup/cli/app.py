"""The verbs of `edgeup`, and the map from errors to exit statuses."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import typer

from edgeup.cli.compare import compare
from edgeup.cli.doctor import doctor
from edgeup.cli.export import export
from edgeup.cli.listing import listing
from edgeup.cli.optimize import optimize
from edgeup.cli.run import run
from edgeup.cli.verb import CHECK_FAILED, WRONG_REQUEST, complain

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
app.command("compare")(compare)
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
    except BrokenPipeError:
        # `edgeup list decoders | head`: the reader has left; not worth a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return CHECK_FAILED
    except Exception:
        # A bug: its traceback helps whoever mends it, and the status must not say "check failed".
        traceback.print_exc()
        complain("internal error: this is a bug in edgeup; please report the lines above")
        return WRONG_REQUEST
    return status if isinstance(status, int) else 0
