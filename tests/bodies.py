"""Digests of the code of stage bodies, to detect a body that changed while its version did not.

    uv run python tests/bodies.py        # pins every body again, in tests/golden/bodies.json

The digest of a body covers its own source and that of every function, class and constant of this project that it names
in its code or its signature, directly or indirectly. The source is parsed; nothing is imported.
Docstrings, comments, layout, annotations of functions and the texts of errors do not count.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINNED = Path(__file__).parent / "golden" / "bodies.json"
PACKAGES = ("svdaudio", "tasks")
WITHOUT_RESULTS = ("svdaudio.errors", "svdaudio.engine")
"""Modules that do not affect what a body computes: errors, and the type of `note`."""


@dataclass
class Module:
    """One file: its definitions and its imports."""

    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name → module and name there; an empty name means the module itself."""


class Sources:
    """Modules of some packages below a folder, each read once."""

    def __init__(self, root: Path = ROOT, packages: tuple[str, ...] = PACKAGES) -> None:
        self.root = root
        self.packages = packages
        self._modules: dict[str, Module] = {}

    def path(self, module: str) -> Path | None:
        """The file of a module, or None if there is none."""
        place = self.root.joinpath(*module.split("."))
        return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)

    def module(self, name: str) -> Module:
        """A module by its dotted name."""
        if name not in self._modules:
            path = self.path(name)
            assert path is not None, name
            self._modules[name] = self._read(ast.parse(path.read_text()))
        return self._modules[name]

    def _read(self, tree: ast.Module) -> Module:
        found = Module()
        for statement in tree.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                found.definitions[statement.name] = statement
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                names = (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
                found.definitions.update(dict.fromkeys(names, statement))
        for statement in ast.walk(tree):
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] in self.packages:
                for alias in statement.names:
                    below = f"{statement.module}.{alias.name}"
                    target = (below, "") if self.path(below) else (statement.module or "", alias.name)
                    found.imports[alias.asname or alias.name] = target
        return found

    def defined(self, module: str, name: str) -> tuple[str, str] | None:
        """The module that defines a name, and its name there, behind any number of imports; None if it is not ours."""
        if module.startswith(WITHOUT_RESULTS):
            return None
        known = self.module(module)
        if name in known.definitions:
            return module, name
        if name in known.imports and known.imports[name][1]:
            return self.defined(*known.imports[name])
        return None

    def used(self, module: str, node: ast.AST) -> Iterator[tuple[str, str]]:
        """Names of this project that a piece of code uses: the module that defines each, and its name there."""
        imports = self.module(module).imports
        for one in ast.walk(node):
            found = None
            if isinstance(one, ast.Name):
                found = self.defined(module, one.id)
            elif isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id in imports:
                place, name = imports[one.value.id]
                found = None if name else self.defined(place, one.attr)
            if found is not None:
                yield found


class _WithoutProse(ast.NodeTransformer):
    """Removes docstrings, annotations of functions and their variables, and the texts of errors."""

    def __init__(self, *, keep_signature: bool = False) -> None:
        self._keep_signature = keep_signature
        self._in_function = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        keep, self._keep_signature = self._keep_signature, False
        before, self._in_function = self._in_function, True
        self.generic_visit(node)
        self._in_function = before
        if not keep:
            node.returns = None
            for one in ast.walk(node.args):
                if isinstance(one, ast.arg):
                    one.annotation = None
        node.body = node.body or [ast.Pass()]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if not self._in_function:
            return node
        return ast.Assign(targets=[node.target], value=node.value) if node.value is not None else None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise()


def bare(definition: ast.stmt, *, keep_signature: bool = False) -> ast.AST:
    """A copy of a definition without prose."""
    return _WithoutProse(keep_signature=keep_signature).visit(copy.deepcopy(definition))


def text_of(node: object) -> str:
    """A syntax tree as text, the same in every version of Python, which `ast.unparse` and `ast.dump` are not."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={text_of(value)}' for name, value in fields)})"
    return f"[{', '.join(text_of(one) for one in node)}]" if isinstance(node, list) else repr(node)


def pieces(place: str, sources: Sources) -> dict[str, str]:
    """Everything that a body consists of: `module:name` → its syntax tree as text.

    Args:
        place: `module:function` of the body.
        sources: where modules are.
    """
    module, _, name = place.partition(":")
    definition = sources.module(module).definitions[name]
    found = {place: text_of(bare(definition))}
    waiting = list(sources.used(module, bare(definition, keep_signature=True)))
    while waiting:
        module, name = waiting.pop()
        if f"{module}:{name}" not in found:
            code = bare(sources.module(module).definitions[name])
            found[f"{module}:{name}"] = text_of(code)
            waiting += sources.used(module, code)
    return found


def digest(place: str, sources: Sources) -> str:
    """The sha256 of everything that a body consists of, wherever in the project it is defined."""
    texts = [f"{key.partition(':')[2]}\n{text}" for key, text in pieces(place, sources).items()]
    return hashlib.sha256("\n\n".join(sorted(texts)).encode()).hexdigest()


def pinned_of(stages, sources):
    """Stage → its version and the digest of its body, as the golden file keeps them."""
    return {
        name: {"version": stage.version, "body": digest(stage.body, sources)} for name, stage in sorted(stages.items())
    }


def problem_of(stage, pinned, sources):
    """The reason why a stage does not match its pinned body, or None.

    Args:
        stage: The present stage.
        pinned: Its entry in the golden file, if there is one.
        sources: where modules are.
    """
    repin = "re-pin it with `uv run python tests/bodies.py`"
    if pinned is None:
        return f"stage {stage.name} is new: {repin}"
    if stage.version < pinned["version"]:
        return f"stage {stage.name} had version {pinned['version']} and has {stage.version} now: versions only rise"
    if stage.version > pinned["version"]:
        return f"stage {stage.name} has a new version: {repin}"
    if digest(stage.body, sources) != pinned["body"]:
        return (
            f"the body of stage {stage.name} has changed: raise the version of stage {stage.name}, "
            f"or {repin} if its outputs are the same"
        )
    return None


if __name__ == "__main__":
    from svdaudio.methods.stages import STAGES

    PINNED.write_text(json.dumps(pinned_of(STAGES, Sources()), indent=1) + "\n")
