"""One of the models that are compared node by node: its inner values on one input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeup.runtime.diagnosis.contract import Diagnosis, Pair
from edgeup.runtime.diagnosis.diagnose import diagnose
from edgeup.spec import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir


class SideRun:
    """One model on its feeds.

    Args:
        model: as it was loaded.
        feeds: floats are cast where it takes others.
        rounded: run it on its rounding twin.
        like: a model whose names its values take, where they correspond.

    Attributes:
        model: with named nodes, inferred types, and the shapes of the feeds.
        moved: what values were called that made way for such names, by what they are called now.
    """

    def __init__(
        self, model: ir.Model, feeds: Feeds, *, rounded: bool, like: ir.Model | None = None
    ) -> None:
        from edgeup.export.precision.twin import twin_of_file
        from edgeup.pipeline.verify.alike import name_alike

        self.model = _at_shapes(model, feeds)
        self.moved = {} if like is None else name_alike(like, self.model)
        self._run, self._feeds = twin_of_file(self.model) if rounded else self.model, feeds

    def values(self, names: Sequence[str]) -> dict[str, Array]:
        """Inner values, by a run that ends at them."""
        from edgeup.export.packed import loadable
        from edgeup.export.precision.probe import giving_out
        from edgeup.runtime.ort_session import OnnxRuntimeSession

        with (
            loadable(giving_out(self._run, names)) as source,
            OnnxRuntimeSession(source, optimize=False) as session,
        ):
            wanted = {spec.name: np.dtype(spec.dtype) for spec in session.inputs}
            return session.run(
                {
                    name: array.astype(wanted[name]) if array.dtype.kind == "f" else array
                    for name, array in self._feeds.items()
                    if name in wanted
                }
            )

    def saturation(self, value: str) -> tuple[Diagnosis, ...]:
        """Whether rounding is what makes it infinite: it is held against the number before."""
        from edgeup.export.precision.twin import UNROUNDED

        before = f"{value}{UNROUNDED}"
        if all(before != made.name for node in self._run.graph for made in node.outputs):
            return ()
        values = self.values([before, value])
        return tuple(
            replace(
                one,
                words=f"fp16 ends at 65504: {one.figures['elements']} elements go beyond it, and "
                f"become infinite when they are rounded",
            )
            for one in diagnose([Pair(values[before], values[value])])
            if one.kind == "fp16 saturation"
        )


def _at_shapes(model: ir.Model, feeds: Feeds) -> ir.Model:
    """A copy with named nodes, inferred types, and the shapes of the feeds."""
    from edgeup.export.load import freeze_shapes, input_specs
    from edgeup.export.optimize import name_nodes
    from edgeup.export.precision.convert import prepared
    from edgeup.spec import TensorSpec

    work = model.clone()
    name_nodes(work)  # as `edgeup optimize` and `build` name them: before constants are lifted
    open_ = [spec.name for spec in input_specs(work) if not spec.is_static]
    freeze_shapes(work, [TensorSpec(name, feeds[name].shape) for name in open_ if name in feeds])
    return prepared(work)
