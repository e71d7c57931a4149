"""Reads the source of a binding module and looks every name up in the API table of a release.

The source is followed as that release would run it: ``hasattr`` is answered from the table, so
only the live branches are read; a class that says ``VERSIONS = (first, last)`` is read for those.
An attribute is looked up by the class of what it stands on, which is told by an annotation
(``x: drv.Stream``), or by the name, where a module calls the same kind of thing the same
everywhere (``config``, ``engine``). Where neither tells, that is a problem too: a typo cannot
hide on an unknown object.
"""

from __future__ import annotations

import ast
import re

OURS = "ours"
"""Not of the bindings: its attributes are mypy's business."""

_BUILTIN = {name for kind in (str, bytes, list, dict, tuple, set, int) for name in dir(kind)}
_ENUM_VALUE = {"name", "value"}
_ENUM_CLASS = {"__members__"}


NAMES = {
    **{"trt": "module", "builder": "Builder", "network": "INetworkDefinition"},
    **{"config": "IBuilderConfig", "parser": "OnnxParser", "error": "ParserError"},
    **{"layer": "ILayer", "tensor": "ITensor", "profile": "IOptimizationProfile"},
    **{"cache": "ITimingCache", "other": "ITimingCache", "memory": "IHostMemory"},
    **{"runtime": "Runtime", "engine": "ICudaEngine", "inspector": "EngineInspector"},
    **{"context": "IExecutionContext", "logger": "ILogger", "profiler": "IProfiler"},
    "dtype": "enum value",
}
"""What goes by a name in the modules of TensorRT: a rule of theirs, see bindings_tensorrt."""

RETURNS = {
    ("INetworkDefinition", "get_layer"): "ILayer",
    ("ILayer", "get_output"): "ITensor",
    ("OnnxParser", "get_error"): "ParserError",
    ("ITensor", "dtype"): "enum value",
}
"""The class of what a method or attribute gives."""


def version_of(release):
    """Releases of TensorRT for RTX are newer than all: their API is that of 11."""
    if release.startswith("rtx-"):
        return (99, 0)
    return tuple(int(part) for part in release.split(".")[:2])


def walk(api, release, source):
    """Read a module of TensorRT's bindings as a release would run it."""
    classes = {owner: api.names(owner, release) for owner in api.classes}
    ever = {owner: api.ever(owner) for owner in api.classes}
    return Walker(Tables(classes, ever, NAMES, RETURNS), version_of(release)).module(source)


class Tables:
    """What a walker looks names up in.

    Args:
        classes: per class its names in this release; ``module`` holds the module's.
        ever: the same over all releases.
        names: the class of what goes by a name.
        returns: the class of what a method or attribute gives.
        modules: prefixes of annotations that stand for the module ("drv").
    """

    def __init__(self, classes, ever, names, returns=(), modules=()):
        self.classes, self.ever, self.names = classes, ever, names
        self.returns, self.modules = dict(returns), tuple(modules)


class Walker:
    """Follows one release through a module; ``problems`` says what it found."""

    def __init__(self, tables, version):
        self.tables, self.version = tables, version
        self.problems = []
        self.looked_up = set()
        self.answers = {}  # of conditions that the release decides, by place

    def module(self, source):
        tree = ast.parse(source)
        imported = {
            (alias.asname or alias.name).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        self._members = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and _is_self(node.target):
                self._members[node.target.attr] = self._annotated(node.annotation)
        top = dict.fromkeys(imported, OURS)
        defined = (ast.FunctionDef, ast.ClassDef)
        top |= {node.name: OURS for node in tree.body if isinstance(node, defined)}
        self._block(tree.body, top)
        return self

    # ------------------------------------------------------------------------------- statements

    def _block(self, body, known):
        """Read statements in order; True where the block was left for sure."""
        return any(self._statement(statement, known) for statement in body)

    def _statement(self, node, known):
        if isinstance(node, ast.If):
            answer = self.answers[place(node)] = self._test(node.test, known)
            if answer is None:
                # Both ways are possible: what follows is dead only where both leave.
                return self._block(node.body, dict(known)) & self._block(node.orelse, dict(known))
            return self._block(node.body if answer else node.orelse, known)
        if isinstance(node, ast.ClassDef):
            self._class(node, known)
            return False
        if isinstance(node, ast.FunctionDef):
            self._function(node, known)
            return False
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            known[node.target.id] = self._annotated(node.annotation)
        for field, value in ast.iter_fields(node):
            if field == "annotation":
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.expr):
                    self._expression(child, known)
                elif isinstance(child, ast.stmt | ast.withitem | ast.ExceptHandler):
                    self._statement(child, known)
        return isinstance(node, ast.Return | ast.Raise | ast.Continue)

    def _class(self, node, known):
        versions = next(
            (
                ast.literal_eval(entry.value)
                for entry in node.body
                if isinstance(entry, ast.Assign) and ast.unparse(entry.targets[0]) == "VERSIONS"
            ),
            None,
        )
        if versions and not within(self.version, versions):
            self.answers[place(node)] = False
            return
        for base in node.bases:
            kind = self._expression(base, known)
            if isinstance(kind, str) and kind.startswith("class "):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        self._look_up(kind.removeprefix("class "), method.name, method)
        self._block(node.body, dict(known))

    def _function(self, node, known):
        inside = dict(known)
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            kind = self._annotated(argument.annotation)
            inside[argument.arg] = kind
        for decorator in node.decorator_list:
            self._expression(decorator, known)
        self._block(node.body, inside)

    # ------------------------------------------------------------------------------ expressions

    def _test(self, node, known):
        """What a condition is in this release; None where it does not depend on it."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            answer = self._test(node.operand, known)
            return None if answer is None else not answer
        if isinstance(node, ast.BoolOp):
            decides = isinstance(node.op, ast.Or)
            answers = []
            for value in node.values:
                answers.append(self._test(value, known))
                if answers[-1] is decides:
                    return decides  # the rest is not evaluated
            return None if None in answers else not decides
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
            return self._has(node, known)
        self._expression(node, known)
        return None

    def _has(self, node, known):
        kind = self._expression(node.args[0], known)
        name = ast.literal_eval(node.args[1])
        owner = kind.removeprefix("class ") if isinstance(kind, str) else kind
        if owner not in self.tables.ever:
            self._problem(node, f"cannot tell what {ast.unparse(node.args[0])} is")
            return None
        if name not in self.tables.ever[owner]:
            self._problem(node, f"no release's {owner} has {name}")
        return name in self.tables.classes.get(owner, ())

    def _expression(self, node, known):
        """Read an expression; the class of its value, OURS, or None where it is not known."""
        if isinstance(node, ast.Attribute):
            return self._attribute(node, known)
        if isinstance(node, ast.Name):
            kind = known.get(node.id)
            return self.tables.names.get(node.id) if kind is None else kind
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.List | ast.Dict | ast.Tuple):
            self._children(node, known)
            return OURS
        if isinstance(node, ast.BoolOp) or _is_hasattr(node):
            self._test(node, known)
            return None
        if isinstance(node, ast.IfExp):
            answer = self.answers[place(node)] = self._test(node.test, known)
            branches = (
                [node.body, node.orelse]
                if answer is None
                else [node.body if answer else node.orelse]
            )
            kinds = [self._expression(branch, known) for branch in branches]
            return kinds[0]
        if isinstance(node, ast.Call):
            return self._call(node, known)
        if isinstance(node, ast.Subscript):
            kind = self._expression(node.value, known)
            self._expression(node.slice, known)
            return kind[1] if isinstance(kind, tuple) else None
        if isinstance(node, ast.BinOp):
            sides = [self._expression(side, known) for side in (node.left, node.right)]
            return OURS if OURS in sides else None
        if isinstance(node, ast.Lambda):
            inside = known | {argument.arg: None for argument in node.args.args}
            self._expression(node.body, inside)
            return OURS
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            self._children(node, dict(known))
            return OURS
        self._children(node, known)
        return None

    def _children(self, node, known):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._expression(child, known)
            else:
                self._children(child, known)

    def _call(self, node, known):
        called = ast.unparse(node.func)
        if called in ("getattr", "setattr"):
            self._problem(node, f"{called} hides which name is used")
        kind = self._expression(node.func, known)
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self._expression(argument, known)
        if isinstance(kind, str) and kind.startswith("class "):
            return kind.removeprefix("class ")
        return kind

    def _attribute(self, node, known):
        if _is_self(node):
            name = node.attr.removeprefix("_")
            return self._members.get(node.attr) or self.tables.names.get(name) or OURS
        kind = self._expression(node.value, known)
        if kind == OURS or isinstance(kind, tuple):
            return OURS
        if kind is None:
            if node.attr not in _BUILTIN:
                self._problem(node, f"cannot tell what {ast.unparse(node.value)} is")
            return None
        return self._look_up(kind, node.attr, node)

    def _look_up(self, kind, name, node):
        owner = kind.removeprefix("class ")
        if owner == "enum value":
            if name not in _ENUM_VALUE:
                self._problem(node, f"an enum's value has no {name}")
            return OURS
        if kind.startswith("class ") and name in _ENUM_CLASS | {"__init__"}:
            return OURS
        self.looked_up.add((owner, name))
        if name not in self.tables.classes.get(owner, ()):
            self._problem(node, f"{owner} has no {name}")
            return None
        if owner in self.tables.names.get("modules", ("module",)):
            return f"class {name}" if name in self.tables.ever else OURS
        if kind.startswith("class "):
            return "enum value"
        return self.tables.returns.get((owner, name), OURS if owner != "module" else None)

    def _annotated(self, annotation):
        """The class that an annotation names; None for Any and where there is none."""
        if annotation is None or ast.unparse(annotation) in ("Any", "Any | None"):
            return None
        text = ast.unparse(annotation)
        for prefix in self.tables.modules:
            if match := re.fullmatch(rf"dict\[\w+, {prefix}\.(\w+)\]", text):
                return ("dict", match[1])
            if match := re.match(rf"{prefix}\.(\w+)", text):
                return match[1]
        return OURS

    def _problem(self, node, words):
        self.problems.append(f"line {node.lineno}: {words}")


def within(version, versions):
    """Whether (major, minor) lies between two, the last of which may be open."""
    first, last = versions
    return first <= version and (last is None or version <= last)


def place(node):
    """What tells a node of a source from its others."""
    return type(node).__name__, node.lineno, node.col_offset


class _Specialize(ast.NodeTransformer):
    """Keeps what one release runs, and writes down the classes that names stand for."""

    def __init__(self, answers, names):
        self._answers, self._names = answers, names

    def generic_visit(self, node):
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            ends = [i for i, entry in enumerate(body) if isinstance(entry, ast.Return | ast.Raise)]
            node.body = body[: ends[0] + 1] if ends else body  # what follows never runs
        return node

    def visit_If(self, node):
        answer = self._answers.get(place(node))
        self.generic_visit(node)
        if answer is None:
            return node
        return (node.body if answer else node.orelse) or ast.Pass()

    def visit_IfExp(self, node):
        answer = self._answers.get(place(node))
        self.generic_visit(node)
        return node if answer is None else node.body if answer else node.orelse

    def visit_ClassDef(self, node):
        if self._answers.get(place(node)) is False:
            return None
        return self.generic_visit(node)

    def visit_arg(self, node):
        kind = self._names.get(node.arg)
        if node.annotation is not None and ast.unparse(node.annotation) == "Any":
            if kind == "module":
                node.arg = "_module"
            elif kind in self._names.values() and kind[0].isupper():
                node.annotation = ast.parse(f"trt.{kind}", mode="eval").body
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if _is_self(node) and self._names.get(node.attr.removeprefix("_")) == "module":
            return ast.Name("trt", node.ctx)
        return node

    def visit_Assign(self, node):
        self.generic_visit(node)
        return ast.Pass() if ast.unparse(node.targets[0]) == "trt" else node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        return ast.Pass() if ast.unparse(node.target) == "trt" else node


def specialized(source, walked):
    """The source as a release runs it, with types: for mypy and the stubs of that release.

    ``trt``, which is a parameter in the source, is the module of the stubs here; what goes by a
    name gets its class instead of Any.
    """
    tree = _Specialize(walked.answers, walked.tables.names).visit(ast.parse(source))
    text = ast.unparse(ast.fix_missing_locations(tree))
    head = "from __future__ import annotations\n"
    return text.replace(head, head + "import tensorrt as trt\n", 1)


def _is_self(node):
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _is_hasattr(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr"
