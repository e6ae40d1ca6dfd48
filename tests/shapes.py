"""Checks jaxtyping's shapes while the tests run: `Float[Tensor, "token dim"]`, and nothing else.

Plain annotations are left to pyright: stand-ins in tests need only behave like what they replace, and a few tests pass
a wrong type on purpose.
"""

from __future__ import annotations

import functools
from types import FunctionType
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray


def check_shapes(function: Any) -> Any:
    """Decorate a function so that the shapes in its annotations are checked; jaxtyping's hook calls this."""
    if not isinstance(function, FunctionType):
        return function
    shapes = {name: hint for name, hint in _evaluated(function).items() if _is_shape(hint)}
    if not shapes:
        return function
    checked = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    functools.update_wrapper(checked, function)
    del checked.__wrapped__
    checked.__kwdefaults__ = function.__kwdefaults__
    checked.__annotations__ = shapes
    return beartype(checked)


def _evaluated(function: FunctionType) -> dict[str, Any]:
    """Annotations by name, without those that refer to imports for type checkers."""
    found: dict[str, Any] = {}
    for name, hint in function.__annotations__.items():
        try:
            found[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
        except (NameError, TypeError, SyntaxError):
            continue
    return found


def _is_shape(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, AbstractArray)
