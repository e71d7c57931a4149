"""A user's own module: ``package.module:factory``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError, unknown
from edgeup.pipeline.subject import Subject, require_torch
from edgeup.pipeline.user_code import from_user_code
from edgeup.pipeline.user_inputs import macs_of, named_inputs
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    pass

SEEDED = (
    "{reference} draws random numbers when it is made (seed {seed}): unless it loads weights after "
    "that, they are random and the output means nothing; parity, latency, operators and sizes "
    "mean what they would with trained ones"
)


def user_subject(reference: str, shapes: Sequence[TensorSpec], seed: int = 0) -> Subject:
    """Import a module object, or a callable that returns one, and describe it.

    The current folder is importable, as it is for ``python -m``. The user's code is run, since
    that is what was asked for; torch's random state is as it was afterwards.

    Args:
        reference: ``package.module:name``.
        shapes: one per input of ``forward``.
        seed: of torch's generator while the module is made: the same seed, the same weights.

    Raises:
        EdgeupError: the reference does not lead to an ``nn.Module``, the user's code raised, or
            the shapes do not fit the parameters of ``forward``.
        MissingPackageError: torch is not installed.
    """
    require_torch("exporting a PyTorch module")
    from torch import nn

    from edgeup.models.cost import parameters

    made, is_drawn = _resolve(reference, seed)
    if not isinstance(made, nn.Module):
        raise EdgeupError(
            f"{reference} gave a {type(made).__name__}, and an nn.Module was wanted: name a "
            f"module object, or a function without arguments that returns one"
        )
    inputs = named_inputs(made, shapes, reference)
    name = reference.replace(":", ".").split(".")[-1]
    facts = {
        "decoder": None,
        "parameters": parameters(made),
        "macs": macs_of(reference, made, inputs),
        "weights": {"source": "module"},
    }
    return Subject(
        name=name,
        description=f"{type(made).__name__} of {reference}",
        module=made,
        inputs=inputs,
        output_names=None,
        facts=facts,
        notices=(SEEDED.format(reference=reference, seed=seed),) if is_drawn else (),
    )


def _resolve(reference: str, seed: int) -> tuple[Any, bool]:
    """What is named, and whether making it drew from torch's generator."""
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise EdgeupError(
            f"{reference!r} does not name a module: wanted package.module:name, where the name "
            f"is an nn.Module or a function without arguments that returns one"
        )
    with _importable_here(), _seeded(seed) as imports:
        imported = from_user_code(reference, lambda: _import(module_name, reference))
        found: Any = imported
        for part in attribute.split("."):
            if not hasattr(found, part):
                names = [name for name in vars(imported) if not name.startswith("_")]
                raise unknown(f"name in {module_name}", attribute, names)
            found = getattr(found, part)
        from torch import nn

        if isinstance(found, nn.Module) or not callable(found):
            return found, imports.has_drawn()
        # Seeded anew: what an import draws is drawn once, however often the function is called.
        with _seeded(seed) as calls:
            # Once: a second call, to see which weights come out otherwise with another seed, may
            # change the module that the first one gave.
            return from_user_code(reference, found), calls.has_drawn()


class _Generator:
    """Torch's own generator, since it was seeded."""

    def __init__(self) -> None:
        import torch

        self._seeded: torch.Tensor = torch.get_rng_state()

    def has_drawn(self) -> bool:
        import torch

        return not torch.equal(self._seeded, torch.get_rng_state())


@contextmanager
def _seeded(seed: int) -> Iterator[_Generator]:
    """Torch's generator seeded inside, and as it was after that."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield _Generator()


def _import(name: str, reference: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise EdgeupError(
            f"{reference}: there is no module {error.name}, neither in {Path.cwd()} nor installed"
        ) from error


@contextmanager
def _importable_here() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have rebuilt sys.path
            sys.path.remove(here)
