"""Objectives: arithmetic over the scores of a run, read as a checked tree and never evaluated as Python.

    objective = Objective.parse("duck - cat - abs(delta_dog)")
    objective.check(known_names(classes, sounds, result="manipulated"))
    objective.value(values_of(run.results, result="manipulated"))

| name | value |
|---|---|
| `duck` | score of the class in the method's result, 0 to 1 |
| `original_duck`, `original.duck` | its score in another sound of the run, by the sound's name |
| `delta_duck` | its score in the result minus that in the reference: the sound "original", else the method's first |
| `cosine.edited` | a measure of the method, named as in the tables of batches |

Names are in lower case, with `_` for everything but letters and digits.
"""

from __future__ import annotations

import ast
import difflib
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from svdaudio.engine.batches import REPORTED
from svdaudio.errors import ConfigError

LONGEST = 500
"""Most characters of an objective, which also limits how deeply it nests."""
N_NEAR = 3
ORIGINAL = "original"
CHANGE = "delta"

ALLOWED = "names of scores, numbers, + - * /, abs(), min() and max()"
_FUNCTIONS: Mapping[str, tuple[Callable[..., float], int, int | None]] = {
    "abs": (math.fabs, 1, 1),
    "min": (lambda *values: min(values), 2, None),
    "max": (lambda *values: max(values), 2, None),
}
"""Name → function, least and largest number of arguments."""
_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A checked expression; objectives with equal texts are equal."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read an expression.

        Raises:
            ConfigError: it is not arithmetic over names, or contains no name.
        """
        objective = cls(text=text.strip())
        if not objective.names:
            raise ConfigError("the objective depends on no score", expected=ALLOWED, got=repr(text))
        return objective

    @cached_property
    def _tree(self) -> ast.expr:
        try:
            if len(self.text) > LONGEST:
                raise ValueError(f"{len(self.text)} characters")
            tree = ast.parse(self.text, mode="eval").body
            _check(tree)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
            raise ConfigError(
                "the objective cannot be read", expected=ALLOWED, got=f"{self.text[:200]!r} ({reason})"
            ) from None
        return tree

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in it, each once, in order."""
        return tuple(dict.fromkeys(_names(self._tree)))

    def check(self, known: Collection[str], sounds: Collection[str]) -> None:
        """Refuse names of scores that no run will have. Measures, which only a run can list, are not checked.

        Args:
            known: from `known_names`.
            sounds: the sounds that runs score.

        Raises:
            ConfigError: a name is unknown; the error suggests similar ones.
        """
        slugs = {slug(one) for one in sounds}
        for name in self.names:
            group, dot, _ = name.partition(".")
            if name not in known and not (dot and group not in slugs):
                raise _unknown(name, known)

    def value(self, values: Mapping[str, float]) -> float:
        """Its value for a run.

        Args:
            values: from `values_of`.

        Raises:
            ConfigError: an unknown name, a division by zero, or a value that is not finite.
        """
        for name in self.names:
            if name not in values:
                raise _unknown(name, values)
        try:
            found = _value(self._tree, values)
        except ZeroDivisionError:
            raise ConfigError(
                f"the objective '{self.text}' divides by zero", fix="keep the divisor above 0, as in max(cat, 0.01)"
            ) from None
        if not math.isfinite(found):
            raise ConfigError(f"the objective '{self.text}' is not a finite number", got=found)
        return found


def _unknown(name: str, known: Collection[str]) -> ConfigError:
    near = difflib.get_close_matches(name.lower(), known, n=N_NEAR, cutoff=0.5)
    listed = near or sorted(one for one in known if "." not in one and "_" not in one)
    return ConfigError(
        f"unknown score '{name}' in the objective",
        fix=f"{'perhaps you mean' if near else 'write'} {' or '.join(listed[:20])}" if listed else None,
    )


def _check(node: ast.expr) -> None:
    """Refuse everything but arithmetic.

    Raises:
        ValueError: something else; the message has the piece of text.
    """
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            parts: Iterable[ast.expr] = (left, right)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            parts = (operand,)
        case ast.Call(func=ast.Name(id=function), args=args, keywords=[]) if function in _FUNCTIONS:
            _, least, most = _FUNCTIONS[function]
            if len(args) < least or (most is not None and len(args) > most):
                raise ValueError(f"{function}() takes {least}{'' if most else ' or more'}, not {len(args)}")
            parts = args
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and math.isfinite(value):
            parts = ()
        case ast.Name() | ast.Attribute(value=ast.Name()):
            parts = ()
        case _:
            raise ValueError(f"not allowed: {ast.unparse(node)[:80]}")
    for part in parts:
        _check(part)


def _names(node: ast.expr) -> list[str]:
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=ast.Name(id=group), attr=name):
            return [f"{group}.{name}"]
        case ast.Call(args=args):
            return [name for one in args for name in _names(one)]
        case _:
            children = (one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr))
            return [name for one in children for name in _names(one)]


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=op, operand=operand):
            found = _value(operand, values)
            return -found if isinstance(op, ast.USub) else found
        case ast.Call(func=ast.Name(id=function), args=args):
            return _FUNCTIONS[function][0](*(_value(one, values) for one in args))
        case ast.Constant(value=value):
            return float(cast("float", value))
        case _:
            (name,) = _names(node)
            return values[name]


def slug(name: str) -> str:
    """A name as objectives write it: lower case, `_` for each run of other characters than letters and digits."""
    return re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")


def reference_of(sounds: Sequence[str], result: str) -> str | None:
    """The sound that changes are measured against: "original" if there is one, else the first other than the result."""
    others = [one for one in sounds if one != result]
    return ORIGINAL if ORIGINAL in others else next(iter(others), None)


def known_names(classes: Iterable[str], sounds: Sequence[str], *, result: str) -> set[str]:
    """The names of scores that runs will have; see the table of this module.

    Args:
        classes: of the tagger.
        sounds: names of the sounds that are scored.
        result: the method's main sound.
    """
    scores = {sound: dict.fromkeys(classes, 0.0) for sound in sounds}
    return set(values_of({"scores": scores}, result=result))


def values_of(results: Mapping[str, Any], *, result: str) -> dict[str, float]:
    """Every name with its value in the results of a run.

    Args:
        results: of a `RunRecord`.
        result: the method's main sound.

    Raises:
        ConfigError: two classes have the same name in objectives.
    """
    scores = cast("Mapping[str, Mapping[str, float]]", results.get("scores", {}))
    by_sound = {sound: _slugged(classes) for sound, classes in scores.items()}
    main = by_sound.get(result, {})
    found = dict(main)
    reference = reference_of(list(by_sound), result)
    if reference is not None:
        before = by_sound[reference]
        found |= {f"{CHANGE}_{name}": value - before[name] for name, value in main.items() if name in before}
    for sound, classes in by_sound.items():
        for name, value in classes.items():
            found.setdefault(f"{slug(sound)}_{name}", value)
            found[f"{slug(sound)}.{name}"] = value
    for group, figures in results.items():
        if group not in REPORTED and isinstance(figures, Mapping):
            named = cast("Mapping[str, object]", figures)
            numbers = {slug(name): value for name, value in named.items() if isinstance(value, int | float)}
            found |= {f"{slug(group.removesuffix('s'))}.{name}": float(value) for name, value in numbers.items()}
    return found


def _slugged(classes: Mapping[str, float]) -> dict[str, float]:
    found = {slug(name): float(value) for name, value in classes.items()}
    if len(found) < len(classes):
        raise ConfigError("two classes of the tagger have the same name in objectives", got=", ".join(classes))
    return found
