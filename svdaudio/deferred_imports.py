"""Import parts of a large package without the modules that these parts import and never use here.

Importing diffusers' UNet also imports all of its other networks, transformers' models and torch's compiler: seven
seconds of processor time, of which the UNet needs one. `deferred_imports` postpones the rest until something uses it.
Nothing is replaced permanently: a package runs its postponed `__init__` on access to a name that it lacks, and a
name of a postponed module becomes the real object when it is used.
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
"""torch's compiler, of which libraries apply two decorators when they are imported."""

_postponed: set[str] = set()
"""Names of modules that are postponed with all of their submodules."""
_marked: list[Any] = []
"""What was passed to `torch._dynamo.allow_in_graph` while the compiler was postponed."""


@contextmanager
def deferred_imports(*, packages: Collection[str] = (), modules: Collection[str] = ()) -> Generator[None]:
    """Postpone torch's compiler and some packages and modules that are imported in the block; keep the process state.

    Modules that are already imported are not affected. As in `kept_process_state`, which this includes, modules
    imported in the block must not import this library.

    Args:
        packages: names of packages whose `__init__` is postponed: it runs on access to a name other than that of an
            imported submodule. Until then submodules are imported without it.
        modules: names of modules that are postponed with all of their submodules: names imported from them are
            placeholders, and using one (a call, a subclass, access to an attribute) imports the real module.
    """
    with kept_process_state():
        finders: list[MetaPathFinder] = [_DelegatingFinder(packages, _PackageLoader), _ModuleFinder()]
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
            if _marked and _COMPILER_FINDER not in sys.meta_path:
                sys.meta_path.insert(0, _COMPILER_FINDER)


def _can_be_postponed(name: str) -> bool:
    """Whether a module is installed and has not been imported."""
    return name not in sys.modules and find_spec(name) is not None


def _end_postponement(name: str) -> None:
    """Import a postponed module and its submodules as usual from now on."""
    _postponed.discard(name)
    for found, module in list(sys.modules.items()):
        if isinstance(module, _PostponedModule) and _is_in(found, name):
            del sys.modules[found]
            parent, _, child = found.rpartition(".")
            if vars(sys.modules.get(parent, module)).get(child) is module:
                delattr(sys.modules[parent], child)


def _is_in(module: str, parent: str) -> bool:
    return module == parent or module.startswith(f"{parent}.")


# -- modules that are found as usual and loaded in another way ---------------------------------------------------------


class _DelegatingFinder(MetaPathFinder):
    """Finds some modules as usual, but gives them another loader."""

    def __init__(self, names: Collection[str], loader: Callable[[Loader], Loader]) -> None:
        self._names = names
        self._loader = loader

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = self._loader(spec.loader)
        return spec


class _DelegatingLoader(Loader):
    """Creates a module as its real loader does."""

    def __init__(self, real: Loader) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def restore(self, module: ModuleType) -> None:
        """Make the real loader the module's loader."""
        module.__loader__ = self.real
        if module.__spec__ is not None:
            module.__spec__.loader = self.real


# -- packages whose __init__ is postponed ------------------------------------------------------------------------------


class _PackageLoader(_DelegatingLoader):
    """Makes a package without running its `__init__`."""

    def exec_module(self, module: ModuleType) -> None:
        self.restore(module)
        module.__class__ = _PostponedPackage


class _PostponedPackage(ModuleType):
    """A package whose `__init__` has not run, or is running."""

    def __getattr__(self, name: str) -> Any:
        _run_init(self)
        if type(self) is _PostponedPackage:  # its own __init__ reads the name before setting it
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


# -- modules that are postponed entirely -------------------------------------------------------------------------------


class _ModuleFinder(MetaPathFinder):
    """Finds postponed modules and their submodules, whose names are placeholders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if any(_is_in(fullname, name) for name in _postponed):
            return ModuleSpec(fullname, _ModuleLoader(), is_package=True)
        return None


class _ModuleLoader(Loader):
    """Makes modules whose names are placeholders."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _PostponedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs yet."""


class _PostponedModule(ModuleType):
    """A module that has not been imported: its names are placeholders in the block, and the real objects after it."""

    def __getattr__(self, name: str) -> Any:
        if not any(_is_in(self.__name__, each) for each in _postponed):
            return _real(self.__name__, name)
        if name == "__version__":  # libraries compare it as soon as they are imported
            return _real(self.__name__, name)
        if name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' before it is imported")
        return _PostponedName(self.__name__, name)


class _PostponedName:
    """A placeholder for a name of a module that has not been imported. Using it imports the module.

    Args:
        module: name of the module.
        name: name in the module.
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
    """The object that a postponed name refers to; its module is imported if necessary."""
    with kept_process_state():
        for postponed in [each for each in _postponed if _is_in(module, each)]:  # used in the block that postponed it
            _end_postponement(postponed)
        return getattr(import_module(module), name)


# -- torch's compiler --------------------------------------------------------------------------------------------------


class _PostponedCompiler(_PostponedModule):
    """`torch._dynamo` with only the two decorators that libraries apply when they are imported."""

    @staticmethod
    def allow_in_graph(function: Any) -> Any:
        """Mark a function or class for the compiler: now if the compiler is imported, else when it will be."""
        if (compiler := _compiler()) is not None:
            return compiler.allow_in_graph(function)
        _marked.append(function)
        return function

    @staticmethod
    def disable(function: Any = None, recursive: bool = True, **options: Any) -> Any:
        """Exclude a function from compilation, once the compiler is imported."""
        if function is None:
            return functools.partial(_PostponedCompiler.disable, recursive=recursive, **options)

        @functools.wraps(function)
        def excluded(*args: Any, **kwargs: Any) -> Any:
            compiler = _compiler()
            run = function if compiler is None else compiler.disable(function, recursive, **options)
            return run(*args, **kwargs)

        return excluded


def _compiler() -> Any:
    """`torch._dynamo`, or None if it has not been imported."""
    found = sys.modules.get(DYNAMO)
    return None if isinstance(found, _PostponedModule) else found


class _CompilerLoader(_DelegatingLoader):
    """Loads torch's compiler, then passes on to it what was marked for it before."""

    def exec_module(self, module: ModuleType) -> None:
        self.restore(module)
        self.real.exec_module(module)
        mark: Callable[[Any], Any] = vars(module)["allow_in_graph"]
        while _marked:
            mark(_marked.pop())


_COMPILER_FINDER = _DelegatingFinder((DYNAMO,), _CompilerLoader)
