"""The value of an expression, found by reading alone: nothing of the notebook's is run."""

from __future__ import annotations

import ast
import datetime
import inspect
import logging
import operator
import re
import types
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any

from mirador_magic.interpolate.shown import shown

log = logging.getLogger(__name__)

Namespace = Mapping[str, object]

_DEEPEST = 10  # brackets in one expression: more than that costs the parser milliseconds


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Modules, and which of their types (None: all): to read these runs nothing of the notebook's
_READ: Mapping[str, frozenset[str] | None] = {
    "builtins": _words(
        "NoneType bool int float complex str bytes list tuple dict set frozenset range slice"
        " dict_keys dict_values dict_items"
    ),
    "collections": _words("deque Counter OrderedDict defaultdict"),
    "torch": _words("Tensor Parameter Size"),
    "polars": _words("DataFrame Series GroupBy"),
    **dict.fromkeys(["datetime", "decimal", "fractions", "pathlib", "uuid"]),
    **dict.fromkeys(["numpy", "pandas", "geopandas", "scipy", "sklearn", "mirador_magic"]),
}
# Reading on every type of those above; what acts on an argument is kept off by `_method`
_METHODS = _words(
    "head tail describe sample mean sum min max median std var mode count quantile"
    " value_counts nunique n_unique unique corr cov isna isnull notna null_count any all"
    " nlargest nsmallest idxmax idxmin argmax argmin duplicated groupby group_by size first"
    " last sort_values sort_index select_dtypes memory_usage round abs item tolist to_list"
    " to_dict to_string keys values items get most_common strip lstrip rstrip lower upper"
    " title split splitlines join find startswith endswith date time isoformat weekday"
    " total_seconds detach cpu"
)
_ACTING = _words("inplace in_place buf replace")  # words of arguments
_SEEDS = {"pandas": "random_state", "geopandas": "random_state", "polars": "seed"}
_WHOLE: Mapping[str, Callable[..., object]] = {
    each.__name__: each for each in (list, tuple, set, sorted, sum, min, max, any, all)
}
_OF_ONE: Mapping[str, Callable[[Any], object]] = {
    "len": len,
    "str": str,
    "repr": repr,
    "type": lambda value: type.__repr__(type(value)),
}
_LARGEST = 10_000_000  # items that a builtin goes through
_SUMS: Mapping[type[ast.operator], Callable[[Any, Any], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_CONVERSIONS: Mapping[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}
_TAIL = re.compile(
    r"(?:!(?P<conversion>[rsa]))?"
    r"(?::(?P<spec>(?:[^{}\s]?[<>^])?[-+]?z?\#?0?\d{0,3}[_,]?(?:\.\d{1,3})?[bcdeEfFgGnosxX%]?"
    r"|(?:%[aAbBdHIjmMpSyYzZ]|[-/:., T])+))?"  # of a date
)
# Such a spec may be a value in a dict without quotes: {a:1}, {a:b}
_VALUE_LIKE = re.compile(r"[-+]?\d+(?:\.\d*)?|\w?")


class _Unfit(Exception):
    """The expression is none that only reads."""


def written(inner: str, namespace: Namespace) -> str | None:
    """How braces read when filled; None where they are to stay."""
    try:
        tree, conversion, spec = _taken_apart(inner)
        value = _read(tree, namespace)
        _check_value(value)
        return shown(_formatted(value, conversion, spec))
    except KeyboardInterrupt:
        raise
    except BaseException:  # also what is no Exception: a panic of polars, an exit in a __repr__
        log.debug("{%s} stays as it is", inner, exc_info=True)
        return None


def _taken_apart(inner: str) -> tuple[ast.expr, str | None, str | None]:
    """The expression, and its conversion and format: `!r`, `:.2f`."""
    depth, end = 0, len(inner)
    for at, sign in enumerate(inner):
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and sign in "!:":
            end = at
            break
    tail = _TAIL.fullmatch(inner, end)
    if not tail or inner.count("(") + inner.count("[") > _DEEPEST:
        raise _Unfit
    tree = ast.parse(inner[:end], mode="eval").body
    if isinstance(tree, ast.Tuple | ast.List | ast.Constant):
        raise _Unfit
    return tree, tail["conversion"], tail["spec"]


def _formatted(value: object, conversion: str | None, spec: str | None) -> object:
    if conversion:
        value = _CONVERSIONS[conversion](value)
    if not spec:
        return value
    is_date = isinstance(value, datetime.date | datetime.time)
    if not (is_date or isinstance(value, str | Number)) or is_date != ("%" in spec[:-1]):
        raise _Unfit
    if _VALUE_LIKE.fullmatch(spec):
        raise _Unfit
    return format(value, spec)


def _check_value(value: object) -> None:
    """Raises _Unfit for a module, a class, a function, and for what a reading would use up.

    A neural network can be called as well, and is a value all the same.
    """
    kind = type(value)
    called = callable(value) and not hasattr(kind, "state_dict")
    if isinstance(value, types.ModuleType) or called or hasattr(kind, "__next__"):
        raise _Unfit


def _is_known(value: object) -> bool:
    """Whether to read it runs nothing of the notebook's, and uses nothing up."""
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    names = _READ.get(root, frozenset())
    return (names is None or kind.__name__ in names) and not hasattr(kind, "__next__")


def _is_plain(value: object) -> bool:
    """Whether it can be an argument: a constant, or some of them."""
    if isinstance(value, slice):
        return _is_plain((value.start, value.stop, value.step))
    if type(value) in (list, tuple):
        return all(_is_plain(each) for each in value)  # type: ignore[attr-defined]
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _read(node: ast.expr | None, namespace: Namespace) -> object:
    """The value of an expression. Raises _Unfit, or whatever its reading raises."""

    def read(part: ast.expr | None) -> object:
        return _read(part, namespace)

    match node:
        case None:
            return None
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name.strip("_") and not name.startswith("__"):
            return namespace[name]
        case ast.Attribute(value=owner, attr=name):
            return _attribute(read(owner), name)
        case ast.Subscript(value=owner, slice=key):
            return _item(read(owner), read(key))
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(read(lower), read(upper), read(step))
        case ast.Tuple(elts=parts):
            return tuple(read(part) for part in parts)
        case ast.List(elts=parts):
            return [read(part) for part in parts]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _sum(0, read(operand), ast.Sub)
        case ast.BinOp(left=left, op=op, right=right):
            return _sum(read(left), read(right), type(op))
        case ast.Call():
            return _called(node, namespace)
    raise _Unfit


def _sum(left: object, right: object, op: type[ast.operator]) -> object:
    if not all(isinstance(each, Number) and _is_known(each) for each in (left, right)):
        raise _Unfit
    return _SUMS[op](left, right)


def _attribute(owner: object, name: str) -> object:
    """An attribute; of what is not known, only one that is stored, and so no code of the notebook's."""
    if name.startswith("_"):
        raise _Unfit
    if isinstance(owner, types.ModuleType):
        value = types.ModuleType.__getattribute__(owner, "__dict__")[name]  # past a lazy loader
        if not isinstance(value, str | bytes | Number | tuple):
            raise _Unfit
        return value
    if _is_known(owner):
        return getattr(owner, name)
    stored: Any = inspect.getattr_static(owner, name)
    if _is_field(stored):
        return stored.__get__(owner)
    if hasattr(type(stored), "__get__"):
        raise _Unfit
    return stored


def _is_field(stored: object) -> bool:
    """Whether it is a field by Python's own means: a slot, one of a named tuple, `args` of an error."""
    if isinstance(stored, types.GetSetDescriptorType):
        return stored.__objclass__.__module__ == "builtins"
    return isinstance(stored, types.MemberDescriptorType) or (
        type(stored).__qualname__ == "_tuplegetter"
    )


def _item(owner: object, key: object) -> object:
    """An item. Nothing is put into a dict by asking for it, as a defaultdict's own reading does."""
    if not (_is_plain(key) or _is_known(key)):
        raise _Unfit
    if isinstance(owner, dict):
        if not _is_plain(key) or not dict.__contains__(owner, key):
            raise _Unfit
        return dict.__getitem__(owner, key)
    kinds: tuple[Any, ...] = (list, tuple, str)
    for kind in kinds:
        if isinstance(owner, kind):
            return kind.__getitem__(owner, key)
    if not _is_known(owner):
        raise _Unfit
    known: Any = owner
    return known[key]


def _called(node: ast.Call, namespace: Namespace) -> object:
    arguments = [_read(each, namespace) for each in node.args]
    keywords = {each.arg or "": _read(each.value, namespace) for each in node.keywords}
    match node.func:
        case ast.Name(id=name) if name not in namespace:
            return _builtin(name, arguments, keywords)
        case ast.Attribute(value=owner, attr=name) if name in _METHODS:
            return _method(_read(owner, namespace), name, arguments, keywords)
    raise _Unfit


def _builtin(name: str, arguments: list[Any], keywords: Mapping[str, Any]) -> object:
    """What a builtin gives. Nothing but `len`, `type` and writing asks a value that is not known."""
    if name in _OF_ONE and len(arguments) == 1 and not keywords:
        return _OF_ONE[name](arguments[0])
    if not all(_is_known(each) and _size(each) <= _LARGEST for each in arguments):
        raise _Unfit
    if name in ("abs", "round") and not keywords:
        if not all(_is_plain(each) and abs(each) <= 100 for each in arguments[1:]):
            raise _Unfit
        return abs(*arguments) if name == "abs" else round(*arguments)
    several = name in ("min", "max") or len(arguments) == 1
    if name not in _WHOLE or not several or keywords.keys() - {"reverse", "default"}:
        raise _Unfit
    return _WHOLE[name](*arguments, **keywords)


def _size(value: Any) -> int:
    return len(value) if hasattr(type(value), "__len__") and getattr(value, "shape", 1) != () else 0


def _method(owner: object, name: str, arguments: list[Any], keywords: dict[str, Any]) -> object:
    """What a method gives. A place to write to is a third argument at the least, or has a name."""
    most = 0 if name == "to_string" else 1 if name == "sample" else 2
    if not _is_known(owner) or len(arguments) > most or keywords.keys() & (_ACTING | {""}):
        raise _Unfit
    if name == "sample":
        # unseeded it would move the notebook's own random numbers on
        seed = _SEEDS[type(owner).__module__.partition(".")[0]]
        if not isinstance(keywords.setdefault(seed, 0), int):
            raise _Unfit
    if not all(_is_plain(each) for each in (*arguments, *keywords.values())):
        raise _Unfit
    return getattr(owner, name)(*arguments, **keywords)
