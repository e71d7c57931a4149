"""The house has floors: a module imports what stands below it, never sideways or up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "edgeup"

# 3 the face, 2 where the wings meet, 1 the wings, 0 the ground.
FLOORS = {
    "edgeup.cli": 3,
    "edgeup.pipeline": 2,
    "edgeup.html": 2,
    "edgeup.report": 2,
    "edgeup.models": 1,
    "edgeup.export": 1,
    "edgeup.runtime": 1,
    "edgeup.boards": 0,
    "edgeup.digits": 0,
    "edgeup.error_of_peak": 0,
    "edgeup.errors": 0,
    "edgeup.files": 0,
    "edgeup.label_placement": 0,
    "edgeup.pareto": 0,
    "edgeup.preprocess": 0,
    "edgeup.preprocess_checks": 0,
    "edgeup.presets": 0,
    "edgeup.resample": 0,
    "edgeup.spec": 0,
    "edgeup.targets": 0,
    "edgeup.polyphase": 0,
}
GROUND_MAY_IMPORT = {"numpy", *sys.stdlib_module_names}
HEAVY = ("torch", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "onnxsim", "tensorrt", "numpy")


def modules() -> dict[str, Path]:
    found = {}
    for folder in (PACKAGE, *(PACKAGE / wing for wing in ("models", "export", "runtime"))):
        pattern = "**/*.py"
        for path in folder.glob(pattern):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def part_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imports_of(path: Path, module: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; write edgeup.… in full"
            assert node.module is not None
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def violations(imports: dict[str, list[str]]) -> list[str]:
    """Each import that leads sideways or up; a module without a floor is one too."""
    found = []
    for module, names in imports.items():
        part = part_of(module)
        if part == "edgeup":
            found += [f"{module} imports {name}" for name in names if name.startswith("edgeup")]
            continue
        if part not in FLOORS:
            found.append(f"{module} stands on no floor: add it to FLOORS")
            continue
        for name in names:
            other = part_of(name)
            if name.split(".")[0] != "edgeup":
                if FLOORS[part] == 0 and name.split(".")[0] not in GROUND_MAY_IMPORT:
                    found.append(f"{module} (ground floor) imports {name}")
            elif other != part and FLOORS.get(other, 9) >= max(FLOORS[part], 1):
                found.append(f"{module} imports {name}")
    return found


def test_no_module_imports_sideways_or_up() -> None:
    imports = {module: imports_of(path, module) for module, path in modules().items()}
    assert len(imports) > 20
    assert violations(imports) == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("edgeup.models.fastdepth", "edgeup.export.to_onnx"),
        ("edgeup.runtime.parity", "edgeup.pipeline.export"),
        ("edgeup.errors", "edgeup.cli.main"),
        ("edgeup.spec", "onnx.helper"),
        ("edgeup.report", "edgeup.pipeline.export"),
        ("edgeup.newcomer", "json.dumps"),
        ("edgeup", "edgeup.errors"),
    ],
)
def test_each_kind_of_violation_is_seen(module: str, name: str) -> None:
    assert len(violations({module: [name]})) == 1


def test_every_folder_link_is_relative_and_committed_as_a_link() -> None:
    for wing in ("models", "export", "runtime"):
        link = PACKAGE / wing
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{wing}"


def test_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, edgeup.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "[]"
