"""The shape of the code: layers, no import circles, few imports inside functions, short files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("derm_core", "pages")
VAGUE_NAMES = {"found", "said", "told", "kept"}

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def sources() -> dict[str, ast.Module]:
    """The syntax tree of each module of the product, by its dotted name."""
    trees = {}
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


@cache
def modules() -> set[str]:
    return {name.removesuffix(".__init__") for name in sources()}


def imports(name: str, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The product's modules that `tree`, part of module `name`, imports, each with its line."""
    package = name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            inner = {f"{base}.{alias.name}" for alias in node.names} & modules()
            targets = [*inner, *([base] if len(inner) < len(node.names) else [])]
        else:
            continue
        for target in targets:
            if target.split(".")[0] in PRODUCT:
                yield target, node.lineno


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, FUNCTION):
                yield name, node


def test_imports_run_down_the_layers():
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache", "--config", "pyproject.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_no_two_modules_import_each_other():
    graph = {}
    for name, tree in sources().items():
        module = name.removesuffix(".__init__")
        graph[module] = {target for target, _ in imports(name, tree)} - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_few_imports_stand_inside_functions():
    """Of packages that take seconds to load, of an optional one, and where a page asks for either."""
    inside = {
        (name, node.lineno, node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for name, function in functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert len(inside) <= 26, sorted(inside)
    elsewhere = {module.split(".")[0] for _, _, module in inside} - set(PRODUCT)
    assert elsewhere <= {
        "torch",
        "torchvision",
        "timm",
        "umap",
        "faiss",
        "plotly",
        "pillow_heif",
    }


def test_files_and_functions_are_short():
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for package in PRODUCT
        for path in (ROOT / package).rglob("*.py")
    }
    long_files = {name: count for name, count in lines.items() if count > 350}
    assert len(long_files) <= 12 and all(count <= 450 for count in long_files.values()), long_files
    long_functions = {
        f"{name}.{function.name}": length
        for name, function in functions()
        if (length := function.end_lineno - function.lineno + 1) > 60
    }
    assert len(long_functions) <= 10, long_functions
    assert all(length <= 80 for length in long_functions.values()), long_functions


def test_no_variable_has_a_vague_name():
    """Fields of records are left out: their names are those of the JSON files."""
    vague = set()
    for name, tree in sources().items():
        fields = {
            statement.target
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for statement in node.body
            if isinstance(statement, ast.AnnAssign)
        }
        for node in ast.walk(tree):
            label = getattr(node, "arg", None) if isinstance(node, ast.arg) else None
            if isinstance(node, ast.Name) and node not in fields:
                label = node.id
            if label in VAGUE_NAMES:
                vague.add((name, node.lineno, label))
    assert not vague
