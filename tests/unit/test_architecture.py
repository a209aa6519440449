"""The source keeps its rooms: who imports whom, how large modules are, and where names are spelled.

Modules are parsed, not imported. Only the names of engines, data sets and labels come from the registries.
"""

import ast
import functools
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from build.backends import backends
from runtime.kinds import kinds
from tests.helpers.paths import ROOT
from training.data.readers import readers
from training.tasks import CATALOGUE

PACKAGES = ("runtime", "training", "build", "deploy", "qface_client")

MAX_LINES = 400
MAX_MODULES = 16  # of a folder

# Each package -> those that its modules may import.
ARROWS: Mapping[str, tuple[str, ...]] = {
    "runtime": ("runtime",),
    "qface_client": ("qface_client",),
    "training": ("training", "runtime", "qface_client"),  # the client, to evaluate a server
    "build": ("build", "runtime", "training"),
    "deploy": ("deploy", "build", "runtime", "training", "qface_client"),
}
# A folder -> what its modules may import beside that, within functions: only who calls them needs it.
WITHIN_FUNCTIONS: Mapping[str, tuple[str, ...]] = {"qface_client.local": ("runtime",)}
# Commands of the serving environment, which has no torch and needs no checkpoint.
WITHOUT_TRAINING = (
    "build.stages.repository",
    "deploy.demo",
    "deploy.embedded.__main__",
    "deploy.gateway.__main__",
    "deploy.gateway.operation.main_process",
    "deploy.prepare.__main__",
    "deploy.tune.__main__",
    "deploy.web.__main__",
    "deploy.web.bundle.__main__",
)


def sources() -> dict[str, Path]:
    """Every module of the packages by its dotted name; a package's `__init__` has the package's name."""
    found = {}
    for package in PACKAGES:
        root = ROOT / "client" if package == "qface_client" else ROOT
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()


@functools.cache
def parsed(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text())


def named_modules(node: ast.stmt) -> Iterator[str]:
    """The modules of these packages that an import statement names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [
            f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in SOURCES else node.module
            for alias in node.names
        ]
    else:
        return
    yield from (name for name in names if name.split(".")[0] in PACKAGES)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those that run when a module is imported: not those of functions, nor those for type checkers only."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node.orelse)
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


@functools.cache
def imported_at_once(module: str) -> frozenset[str]:
    """The modules of these packages that importing a module imports directly."""
    return frozenset(
        name
        for node in statements(parsed(module).body)
        for name in named_modules(node)
        if name in SOURCES and name != module
    )


def closure(module: str) -> dict[str, str]:
    """Every module that importing `module` imports, with the module that imports it first."""
    found: dict[str, str] = {module: ""}
    waiting = [module]
    while waiting:
        importer = waiting.pop()
        for name in imported_at_once(importer) - found.keys():
            found[name] = importer
            waiting.append(name)
    return found


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_module_imports_itself_through_others() -> None:
    circles = {
        module: imported
        for module in SOURCES
        for imported in imported_at_once(module)
        if module in closure(imported)
    }
    assert not circles


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_follow_the_arrows(package: str) -> None:
    against = [
        f"{relative(SOURCES[module])}:{node.lineno} imports {name}"
        for module in SOURCES
        if module.split(".")[0] == package
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in named_modules(node)
        if name.split(".")[0] not in (*ARROWS[package], *allowed_within_functions(module, node))
    ]
    assert not against


def allowed_within_functions(module: str, node: ast.AST) -> tuple[str, ...]:
    """What a module may import here because nothing is loaded with the module itself."""
    if node in statements(parsed(module).body):
        return ()
    return next((names for folder, names in WITHIN_FUNCTIONS.items() if module.startswith(f"{folder}.")), ())


@pytest.mark.parametrize("command", WITHOUT_TRAINING)
def test_what_serves_needs_no_training(command: str) -> None:
    needed = {module: by for module, by in closure(command).items() if module.split(".")[0] == "training"}
    assert not needed


def test_build_imports_training_only_where_it_runs_torch() -> None:
    without_torch = [
        module
        for module in SOURCES
        if module.split(".")[0] == "build"
        and any(name.split(".")[0] == "training" for name in imported_at_once(module))
        and "import torch" not in SOURCES[module].read_text()
    ]
    assert not without_torch


@functools.cache
def imported_names(path: Path) -> frozenset[str]:
    """Every name that the imports of a file's own level could be modules of."""
    names = set()
    for node in statements(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


@functools.cache
def needs_torch(name: str) -> bool:
    """Whether importing a module, of the sources or of the tests' helpers, imports torch."""
    if name in SOURCES:
        imported = frozenset().union(*(imported_names(SOURCES[module]) for module in closure(name)))
        return any(each.split(".")[0] == "torch" for each in imported)
    helper = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    if name.startswith("tests.") and helper.is_file():
        return any(map(needs_torch, imported_names(helper)))
    return name.split(".")[0] == "torch"


def test_unit_tests_start_without_torch() -> None:
    slow = [
        relative(path)
        for path in sorted((ROOT / "tests" / "unit").rglob("*.py"))
        if any(map(needs_torch, imported_names(path)))
    ]
    assert not slow


def test_no_module_is_longer_than_400_lines() -> None:
    paths = [*SOURCES.values(), *sorted((ROOT / "model_repository").rglob("*.py"))]
    lines = {relative(path): len(path.read_text().splitlines()) for path in paths}
    assert not {path: count for path, count in lines.items() if count > MAX_LINES}


def test_no_folder_has_more_modules_than_a_reader_can_survey() -> None:
    folders = Counter(relative(path.parent) for path in SOURCES.values() if path.name != "__init__.py")
    del folders["training/data/readers"]  # one module a data set
    assert not {folder: count for folder, count in folders.items() if count > MAX_MODULES}


def literals(module: str) -> Iterator[tuple[str, int]]:
    """The strings of a module, docstrings left out, with their lines."""
    alone = {id(node.value) for node in ast.walk(parsed(module)) if isinstance(node, ast.Expr)}
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value, node.lineno


def check_spelled(names: Collection[str], *, only_in: Collection[str]) -> None:
    """No string is one of these names but in modules of `only_in`, or below; and each of those has one."""
    elsewhere: list[str] = []
    unused = set(only_in)
    for module, path in SOURCES.items():
        lines = [f"{relative(path)}:{line} {text}" for text, line in literals(module) if text in names]
        owners = {owner for owner in only_in if f"{module}.".startswith(f"{owner}.")}
        if not owners:
            elsewhere += lines
        elif lines:
            unused -= owners
    assert not elsewhere
    assert not unused


def test_engines_are_named_in_their_own_modules_only() -> None:
    only_in = (
        "build.backends",
        "runtime.engines",
        "build.manifest",  # the packages whose versions are recorded
        "build.onnx_export",  # the same
        "build.lowering.openvino_int8",  # the same
        "qface_client.local.versions",  # the same
    )
    check_spelled(backends(), only_in=only_in)


def test_data_sets_are_named_in_their_own_files_only() -> None:
    only_in = (
        "training.data.readers",
        "training.evaluation.published_figures",  # a table by task and set
        "training.evaluation.targets.rows",  # another
        "training.train.recipes",  # recipes: which sets a run learns from
        "training.paper.qface",  # the paper's tables by set
        "training.paper.facexformer",  # the same
        "training.render",  # it makes one
    )
    # The set of any photos has a common word's name.
    check_spelled(readers().keys() - {"photos"}, only_in=only_in)


def test_labels_are_spelled_in_the_catalogue_and_where_data_is_mapped_to_it() -> None:
    labels = {label for task in CATALOGUE.values() for label in task.labels if label != task.unit}
    only_in = (
        "training.tasks",
        "training.data.readers",
        "training.teachers",  # what other networks call a label
        "training.render",  # which parts of a face it draws and labels
        "training.evaluation.targets.rows",  # a table by label
        "training.paper.attention_figures",  # the labels that the paper speaks of
    )
    check_spelled(labels, only_in=only_in)


def test_tasks_are_named_in_the_catalogue_and_where_data_is_mapped_to_it() -> None:
    only_in = (
        "training.tasks",
        "training.data.readers",
        "training.data.sample",  # the task of a mask, where a reader names none
        "training.data.own.coco",  # COCO's word for what else is known of an annotation
        "training.teachers",
        "training.render",  # the labels that it draws
        "training.train.recipes",  # losses and weights of single tasks
        "training.evaluation.published_figures",  # a table by task and set
        "training.evaluation.targets.rows",  # another
        "training.paper.qface",  # what the paper teaches, set by set
        "training.paper.facexformer",  # the same
        "training.paper.attention_figures",  # the tasks that the paper speaks of
        "training.models.qface.config",  # which tasks a configuration has
        "training.models.facexformer",  # which head answers which task
        "deploy.benchmark.facexformer",  # the released recipe, task by task
    )
    # A face's five landmarks have a task's name, in tensors of the detector and of requests.
    check_spelled(CATALOGUE.keys() - {"landmarks"}, only_in=only_in)


def test_kinds_are_named_in_their_own_modules_only() -> None:
    only_in = (
        "runtime.kinds",
        "training.kinds",
        "training.tasks",  # each task names its kind
        "training.data.sampling.augmentation",  # a setting has the name of a kind
        "qface_client.kinds",
    )
    # "value" is a common key of JSON.
    check_spelled(kinds().keys() - {"value"}, only_in=only_in)


# What every measurement shares, `qface bench` included: docs/decisions/0008-one-measuring-core.md.
STATISTICS = "qface_client.measuring"
MEASURING = "deploy.measuring"


LIBRARIES = ("np", "numpy", "statistics")


def own_percentiles(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a module computes percentiles: by a library's function, or by a place of sorted values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.FunctionDef):
            name = node.attr if isinstance(node, ast.Attribute) else node.name
            library = isinstance(node, ast.FunctionDef) or ast.unparse(node.value) in LIBRARIES
            if library and name.removeprefix("nan") in {"percentile", "quantile", "quantiles"}:
                yield node.lineno, name
        elif isinstance(node, ast.ImportFrom) and node.module in LIBRARIES:
            yield from ((node.lineno, alias.name) for alias in node.names if "quantile" in alias.name)
        elif isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
            calls = [ast.unparse(part) for part in ast.walk(node.slice) if isinstance(part, ast.Call)]
            if any("* len(" in call and not call.startswith("len(") for call in calls):
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("np.percentile(x, 99)\nnumpy.nanquantile(x, 0.5)\nstatistics.quantiles(x)", 3),
        ("from statistics import quantiles", 1),
        ("def percentile(values, share): ...", 1),
        ("sorted(x)[int(share * len(x))]\nx[min(9, int(0.99 * len(x)))]", 2),
        ("percentile(x, 0.99)\nhistogram.percentile(0.5)\nx[: int(0.5 * len(x))]\nx[2 * len(x) // 7]", 0),
    ],
)
def test_a_percentile_of_ones_own_is_seen(source: str, count: int) -> None:
    assert len(list(own_percentiles(ast.parse(source)))) == count


def test_percentiles_are_computed_in_the_measuring_core_only() -> None:
    """And in training, whose figures are of faces and not of requests."""
    paths = [
        *(path for module, path in SOURCES.items() if not module.startswith((STATISTICS, "training."))),
        *sorted((ROOT / "tests").rglob("*.py")),
    ]
    assert not [
        f"{relative(path)}:{line} {name}"
        for path in paths
        if any(word in path.read_text() for word in ("percentile", "quantile", "* len("))
        for line, name in own_percentiles(ast.parse(path.read_text()))
    ]


def test_what_measures_knows_nothing_of_what_is_measured() -> None:
    users = {
        module: name
        for module in SOURCES
        if module.startswith(MEASURING)
        for name in closure(module)
        if name.startswith(("deploy.benchmark", "deploy.loadtest", "deploy.tune", "deploy.capacity"))
    }
    assert not users


def test_statistics_and_loops_need_numpy_alone() -> None:
    modules = [module for module in SOURCES if module.startswith(STATISTICS)]
    assert len(modules) > 1
    imports = [
        node
        for module in modules
        for node in statements(parsed(module).body)
        if isinstance(node, ast.ImportFrom | ast.Import)
    ]
    # A relative import that stays in the folder has one dot.
    assert {node.level for node in imports if isinstance(node, ast.ImportFrom)} <= {0, 1}
    packages = {name.split(".")[0] for module in modules for name in imported_names(SOURCES[module])}
    assert packages - sys.stdlib_module_names <= {"numpy", "typing_extensions"}
