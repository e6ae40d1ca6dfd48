"""Importing parts of a large package without what these parts import and never use here.

Importing diffusers' UNet also imports all of its other networks, transformers' models and torch's compiler: seven
seconds of processor time, of which the UNet needs one. `deferred_imports` postpones the rest until something uses it.
Nothing is replaced for good: a package runs its postponed `__init__` when it is asked for a name that it lacks, and a
name of a postponed module becomes the real one when it is used.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from svdaudio.process_state import kept_process_state

DYNAMO = "torch._dynamo"
"""torch's compiler, of which libraries use two decorators when they are imported."""

_postponed: set[str] = set()
"""Names of modules that are postponed with all of their submodules."""
_marked: list[Any] = []
"""What was passed to `torch._dynamo.allow_in_graph` while the compiler was postponed."""


@contextmanager
def deferred_imports(*, packages: Collection[str] = (), modules: Collection[str] = ()) -> Generator[None]:
    """Postpone torch's compiler and some packages and modules that are imported in the block; keep the process state.

    What has been imported before is not affected. As in `kept_process_state`, which this includes, modules imported in
    the block must not import this library.

    Args:
        packages: names of packages whose `__init__` runs when a name of theirs is asked for that is not a submodule
            imported before; until then their submodules are imported without it.
        modules: names of modules that are postponed with all of their submodules: names imported from them stand for
            the real ones, which are imported when such a name is used (called, subclassed, asked for an attribute).
    """
    with kept_process_state():
        finders: list[MetaPathFinder] = [_PackageFinder(packages), _ModuleFinder()]
        added = {name for name in (*modules, DYNAMO) if name not in _postponed and _can_be_postponed(name)}
        _postponed.update(added)
        if DYNAMO in added:
            sys.modules[DYNAMO] = _PostponedCompiler(DYNAMO)
        sys.meta_path[:0] = finders
        try:
            yield
        finally:
            for finder in finders:
                sys.meta_path.remove(finder)
            for name in added:
                _end_postponement(name)
            if _marked and not any(isinstance(finder, _CompilerFinder) for finder in sys.meta_path):
                sys.meta_path.insert(0, _CompilerFinder())


def _can_be_postponed(name: str) -> bool:
    """Whether a module has not been imported, but could be."""
    return name not in sys.modules and find_spec(name) is not None


def _end_postponement(name: str) -> None:
    """From now on a postponed module, and all below it, are imported as usual."""
    _postponed.discard(name)
    for found, module in list(sys.modules.items()):
        if isinstance(module, _PostponedModule) and _is_in(found, name):
            del sys.modules[found]
            parent, _, child = found.rpartition(".")
            if vars(sys.modules.get(parent, module)).get(child) is module:
                delattr(sys.modules[parent], child)


def _is_in(module: str, parent: str) -> bool:
    return module == parent or module.startswith(f"{parent}.")


# -- packages whose __init__ is postponed ------------------------------------------------------------------------------


class _PackageFinder(MetaPathFinder):
    """Finds packages as usual, but leaves their `__init__` to the first use."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = _PackageLoader(spec.loader)
        return spec


class _PackageLoader(Loader):
    """Makes a package that has not run its `__init__`."""

    def __init__(self, real: Loader) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        module.__class__ = _PostponedPackage


class _PostponedPackage(ModuleType):
    """A package whose `__init__` has not run, or is running."""

    def __getattr__(self, name: str) -> Any:
        _run_init(self)
        if type(self) is _PostponedPackage:  # its __init__ itself asks, before it has set the name
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        _run_init(self)
        return sorted(vars(self))


_RUNNING = "_svdaudio_runs_init"


def _run_init(package: ModuleType) -> None:
    """Run the postponed `__init__` of a package. Other threads wait for it; the one that runs it does not."""
    with kept_process_state():
        if type(package) is not _PostponedPackage or _RUNNING in vars(package):
            return
        vars(package)[_RUNNING] = True
        try:
            module: Any = package
            module.__loader__.exec_module(module)
            module.__class__ = ModuleType
        finally:
            del vars(package)[_RUNNING]


# -- modules that are postponed as a whole -----------------------------------------------------------------------------


class _ModuleFinder(MetaPathFinder):
    """Finds postponed modules and their submodules as ones whose names stand for the real ones."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if any(_is_in(fullname, name) for name in _postponed):
            return ModuleSpec(fullname, _ModuleLoader(), is_package=True)
        return None


class _ModuleLoader(Loader):
    """Makes modules whose names stand for the real ones."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _PostponedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs yet."""


class _PostponedModule(ModuleType):
    """A module that has not been imported. Its names stand for the real ones, and after the block are the real ones."""

    def __getattr__(self, name: str) -> Any:
        if not any(_is_in(self.__name__, each) for each in _postponed):
            return _real(self.__name__, name)
        if name == "__version__":  # libraries compare it as soon as they are imported
            return _real(self.__name__, name)
        if name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' before it is imported")
        return _PostponedName(self.__name__, name)


class _PostponedName:
    """A name of a module that has not been imported. Every use of it imports the module, and uses the real one.

    Args:
        module: name of the module.
        name: of something in it.
    """

    def __init__(self, module: str, name: str) -> None:
        self._postponed = (module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _real(*self._postponed)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(_real(*self._postponed), name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type]:
        del bases
        return (_real(*self._postponed),)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, _real(*self._postponed))

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, _real(*self._postponed))

    def __or__(self, other: Any) -> Any:
        return _real(*self._postponed) | other

    def __ror__(self, other: Any) -> Any:
        return other | _real(*self._postponed)

    def __getitem__(self, item: Any) -> Any:
        return _real(*self._postponed)[item]


def _real(module: str, name: str) -> Any:
    """What a postponed name stands for; its module is imported if necessary."""
    with kept_process_state():
        for postponed in [each for each in _postponed if _is_in(module, each)]:  # used in the block that postponed it
            _end_postponement(postponed)
        return getattr(import_module(module), name)


# -- torch's compiler --------------------------------------------------------------------------------------------------


class _PostponedCompiler(_PostponedModule):
    """`torch._dynamo` with the two decorators that libraries use when they are imported."""

    @staticmethod
    def allow_in_graph(function: Any) -> Any:
        """Mark a function or class for the compiler: at once if it has been imported, else when it is."""
        if (compiler := _compiler()) is not None:
            return compiler.allow_in_graph(function)
        _marked.append(function)
        return function

    @staticmethod
    def disable(function: Any = None, recursive: bool = True, **options: Any) -> Any:
        """A function that the compiler, once it has been imported, leaves out."""
        if function is None:
            return functools.partial(_PostponedCompiler.disable, recursive=recursive, **options)

        @functools.wraps(function)
        def left_out(*args: Any, **kwargs: Any) -> Any:
            compiler = _compiler()
            run = function if compiler is None else compiler.disable(function, recursive, **options)
            return run(*args, **kwargs)

        return left_out


def _compiler() -> Any:
    """`torch._dynamo`, or None if it has not been imported."""
    found = sys.modules.get(DYNAMO)
    return None if isinstance(found, _PostponedModule) else found


class _CompilerFinder(MetaPathFinder):
    """Finds torch's compiler as usual, and passes on to it what was marked for it before."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == DYNAMO else None
        if spec is not None and spec.loader is not None:
            spec.loader = _CompilerLoader(spec.loader)
        return spec


class _CompilerLoader(Loader):
    """Loads torch's compiler, then marks what was to be marked."""

    def __init__(self, real: Loader) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        mark: Callable[[Any], Any] = vars(module)["allow_in_graph"]
        while _marked:
            mark(_marked.pop())
