"""The fingerprint of a stage's code: one sha256 over every module of ours that its entry point can import.

The modules are found by reading the sources, so nothing is executed. Import statements count wherever they
stand in a module, inside functions too; only what is imported for type checkers alone does not count.
A package that finds its modules by itself (its `__init__` looks at `__path__`, or passes on `__name__`) is a
registry: all of its modules count, as any of them may be used. A stage that uses one module of a registry
names it, and the other ones do not count.
"""

import ast
import functools
import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from build.files import ROOT

# The packages whose code can decide a stage's results.
PACKAGES = ("build", "runtime", "training")


def code_fingerprint(
    *modules: str, in_use: Mapping[str, Collection[str]] | None = None, root: Path = ROOT
) -> str:
    """One sha256 over the names and sources of the import closure of `modules`."""
    digest = hashlib.sha256()
    for name, path in import_closure(*modules, in_use=in_use, root=root).items():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def import_closure(
    *modules: str, in_use: Mapping[str, Collection[str]] | None = None, root: Path = ROOT
) -> dict[str, Path]:
    """Every module of ours that importing and running `modules` can load, with its file, sorted by name.

    `modules` are full names. `in_use` narrows registries: the package's name -> the short names of those of
    its modules that are used; other modules of the package count only where something imports them.
    Raises ValueError for a module that does not exist.
    """
    found: dict[str, Path] = {}
    for module in modules:
        if _file_of(module, root) is None:
            raise ValueError(f"there is no module {module} below {root}")
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        # Importing a.b.c executes a and a.b first.
        package = name.rpartition(".")[0]
        if package:
            waiting.append(package)
        path = _file_of(name, root)
        if name in found or path is None:
            continue
        found[name] = path
        imports = _imports_of(path, path.stat().st_mtime_ns, name)
        waiting += [imported for imported in imports.names if imported.partition(".")[0] in PACKAGES]
        for registry in imports.registries:
            if registry.partition(".")[0] in PACKAGES:
                waiting += _modules_of(registry, (in_use or {}).get(registry), root)
    return dict(sorted(found.items()))


class _Imports:
    """What one module imports."""

    def __init__(self) -> None:
        self.names: set[str] = set()  # full names; some are no modules but things in one
        self.registries: set[str] = set()  # packages all of whose modules are imported


@functools.cache
def _imports_of(path: Path, _changed: int, name: str) -> _Imports:
    is_package = path.name == "__init__.py"
    package = name if is_package else name.rpartition(".")[0]
    imports = _Imports()
    for node in _executed(ast.parse(path.read_bytes())):
        match node:
            case ast.Import():
                imports.names.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    parents = package.split(".")
                    parents = parents[: len(parents) - node.level + 1]
                    base = ".".join([*parents, base] if base else parents)
                imports.names.add(base)
                imports.names.update(f"{base}.{alias.name}" for alias in node.names)
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module")):
                _add_dynamic_import(node, imports)
            case ast.Name(id="__path__" | "__name__") if is_package:
                imports.registries.add(name)
    return imports


def _add_dynamic_import(call: ast.Call, imports: _Imports) -> None:
    """`import_module` of a constant name, or of a constant package and a computed module."""
    match call.args[:1]:
        case [ast.Constant(value=str(module))]:
            imports.names.add(module)
        case [ast.JoinedStr(values=[ast.Constant(value=str(start)), *_])] if "." in start:
            imports.registries.add(start.rpartition(".")[0])


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from _executed(other)
            continue
        yield child
        yield from _executed(child)


def _is_type_checking(test: ast.expr) -> bool:
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
    return False


def _modules_of(package: str, in_use: Collection[str] | None, root: Path) -> list[str]:
    """The full names of a package's own modules and packages; of `in_use` alone where that is not None."""
    folder = root.joinpath(*package.split("."))
    names = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    names += [path.parent.name for path in folder.glob("*/__init__.py")]
    return [f"{package}.{name}" for name in names if in_use is None or name in in_use]


def _file_of(module: str, root: Path) -> Path | None:
    """A module's file; None where there is no such module."""
    place = root.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    return None
