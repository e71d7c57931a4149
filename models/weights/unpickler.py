"""A pickle machine that can only build inert values.

Python's own unpickler calls what a file names, and a restricted `find_class` still hands it
objects that can be called, instantiated and given state. This one has no such step: pickletools
splits the stream into opcodes (which is plain parsing), and the handlers below move strings,
numbers, containers and the records of `inert` on a stack. A global becomes two strings. REDUCE
looks those up in `rebuild.REBUILDERS`; NEWOBJ and BUILD make and fill a record. No import, no
getattr, no call of anything that the file chose, and no recursion that its nesting could deepen.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable

from edgeup.errors import EdgeupError
from edgeup.models.weights.inert import Global, Instance, Tensor, refused_call, shown
from edgeup.models.weights.rebuild import REBUILDERS, hashable, keyed

MAX_OPCODES = 1_000_000
"""ResNet-152 as a whole module with its optimizer takes 107,000. Bounds time and memory."""

Persistent = Callable[[object], object]


def unpickle(stream: io.BytesIO, persistent: Persistent | None = None) -> object:
    """Read one pickle as inert values, and leave the stream behind it.

    Args:
        stream: positioned at the pickle's first byte.
        persistent: resolves persistent ids; without it they are refused.

    Raises:
        EdgeupError: the pickle is truncated or damaged, or asks for something else than
            tensors and plain attributes.
    """
    machine = _Machine(persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise EdgeupError(
                    f"refused: the pickle has more than {MAX_OPCODES:,} instructions, more than "
                    f"any network needs; save model.state_dict() alone"
                )
            machine.step(opcode.name, argument)
        return machine.pop()
    except (ValueError, IndexError, KeyError, TypeError) as error:
        where = "it is truncated" if stream.read(1) == b"" else "it is damaged"
        raise EdgeupError(
            f"{where} (in its pickle: {shown(str(error))}); download or save it again"
        ) from error


COPY_LIMIT = 4_000_000
"""Elements that calls and states may copy; a ResNet-152 with its optimizer has some 100,000."""


class _Machine:
    """The stack, the memo and one method per opcode."""

    def __init__(self, persistent: Persistent | None) -> None:
        self._stack: list[object] = []
        self._copied = 0
        self._marked: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._persistent = persistent

    def step(self, name: str, argument: object) -> None:
        """Carry out one opcode."""
        if name in _CONSTANTS:
            self._stack.append(argument)
        elif name in _FRESH:
            self._stack.append(_FRESH[name]())
        elif name in _HANDLERS:
            _HANDLERS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise EdgeupError(
                f"refused: the pickle uses the opcode {name}, which torch.save does not write"
            )

    def pop(self) -> object:
        """Take the top of the stack."""
        return self._stack.pop()

    def _top(self) -> object:
        return self._stack[-1]

    def _since_mark(self) -> list[object]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def mark(self, _: object) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def discard(self, _: object) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def discard_marked(self, _: object) -> None:
        self._since_mark()

    def duplicate(self, _: object) -> None:
        self._stack.append(self._top())

    def put(self, index: object) -> None:
        if isinstance(index, int):
            self._memo[index] = self._top()

    def memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, index: object) -> None:
        if isinstance(index, int):
            self._stack.append(self._memo[index])

    def tuple_of_marked(self, _: object) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self._stack.append(tuple(reversed(items)))

    def list_of_marked(self, _: object) -> None:
        items = self._since_mark()
        self._stack.append(items)

    def dict_of_marked(self, _: object) -> None:
        items = self._since_mark()
        self._stack.append(keyed(_pairs(items)))

    def frozenset_of_marked(self, _: object) -> None:
        items = self._since_mark()
        self._stack.append(frozenset(hashable(item) for item in items))

    def append(self, _: object) -> None:
        self._extend([self.pop()])

    def append_marked(self, _: object) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[object]) -> None:
        match self._top():
            case list() as target:
                target.extend(items)
            case Instance():  # a subclass of list: its items are no attributes
                pass
            case other:
                raise ValueError(f"items for a {type(other).__name__}")

    def add_marked(self, _: object) -> None:
        items = self._since_mark()
        target = self._top()
        if not isinstance(target, set):
            raise ValueError(f"members for a {type(target).__name__}")
        target.update(hashable(item) for item in items)

    def set_item(self, _: object) -> None:
        value, key = self.pop(), self.pop()
        self._set_items([key, value])

    def set_marked(self, _: object) -> None:
        self._set_items(self._since_mark())

    def _set_items(self, items: list[object]) -> None:
        pairs = keyed(_pairs(items))
        match self._top():
            case dict() as target:
                target.update(pairs)
            case Instance():  # a subclass of dict: its items are no attributes
                pass
            case other:
                raise ValueError(f"entries for a {type(other).__name__}")

    def name(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._stack.append(Global(module, name))

    def name_from_stack(self, _: object) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a global without a name")
        self._stack.append(Global(module, name))

    def resolve(self, _: object) -> None:
        if self._persistent is None:
            raise ValueError("a persistent id out of place")
        self._stack.append(self._persistent(self.pop()))

    def reduce(self, _: object) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or function not in REBUILDERS:
            raise refused_call(function if isinstance(function, Global) else "a value")
        if not isinstance(arguments, tuple):
            raise ValueError(f"{function} called without a tuple")
        for argument in arguments:
            self._count(argument)
        self._stack.append(REBUILDERS[function](arguments))

    def new_instance(self, _: object) -> None:
        arguments, cls = self.pop(), self.pop()
        if not isinstance(cls, Global) or not isinstance(arguments, tuple):
            raise refused_call("a value as a class")
        # Some classes of PyTorch were saved by either opcode; anything else is only recorded.
        rebuild = REBUILDERS.get(cls)
        self._stack.append(rebuild(arguments) if rebuild else Instance(cls))

    def new_instance_with_keywords(self, _: object) -> None:
        self.pop()
        self.new_instance(None)

    def build(self, _: object) -> None:
        state = self.pop()
        for part in state if isinstance(state, tuple) else (state,):
            self._count(part)
        match self._top(), state:
            case Instance(attributes=attributes), dict():
                attributes.update(_named(state))
            case Instance(attributes=attributes), (None | dict() as plain, dict() as slots):
                attributes.update(_named(plain or {}) | _named(slots))
            case Instance() | Tensor() | dict(), _:
                pass  # a state that only the class's own code could read; OrderedDict's _metadata
            case other, _:
                raise ValueError(f"a state for a {type(other).__name__}")

    def _count(self, value: object) -> None:
        """Calls and states copy what the memo holds once: few bytes of file, many of memory."""
        if isinstance(value, str | bytes | list | tuple | dict | set):
            self._copied += len(value)
        if self._copied > COPY_LIMIT:
            raise ValueError(f"copies more than {COPY_LIMIT:,} elements")

    def refuse_instance(self, argument: object) -> None:
        """INST and OBJ call a class, or a function in its place; protocol 2 has NEWOBJ."""
        first = self._since_mark()[:1]
        cls = shown(str(argument).replace(" ", ".")) if argument else None
        raise refused_call(
            cls or (first[0] if first and isinstance(first[0], Global) else "a value")
        )


def _pairs(items: list[object]) -> list[tuple[object, object]]:
    return list(zip(items[::2], items[1::2], strict=True))


def _named(state: dict[object, object]) -> dict[str, object]:
    return {key: value for key, value in state.items() if isinstance(key, str)}


_CONSTANTS = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)

_FRESH: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}

_HANDLERS: dict[str, Callable[[_Machine, object], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.discard,
    "POP_MARK": _Machine.discard_marked,
    "DUP": _Machine.duplicate,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.tuple_of_marked,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": _Machine.list_of_marked,
    "DICT": _Machine.dict_of_marked,
    "FROZENSET": _Machine.frozenset_of_marked,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_marked,
    "ADDITEMS": _Machine.add_marked,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_marked,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "BINPERSID": _Machine.resolve,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_instance,
    "NEWOBJ_EX": _Machine.new_instance_with_keywords,
    "BUILD": _Machine.build,
    "INST": _Machine.refuse_instance,
    "OBJ": _Machine.refuse_instance,
}
