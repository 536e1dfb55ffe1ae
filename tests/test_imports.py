"""Importing the engine loads no screen, and its light modules load nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import derm_core

PACKAGE = Path(derm_core.__file__).parent
MODULES = sorted(
    ".".join(["derm_core", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)
GROUND = """arms background cli config errors events files formatting locks machine processes records
    seeds workspace""".split()
COMMANDS = "app follow fold_progress output runs".split()
WITH_PANDAS = """commands.doctor data.decode data.manifest data.splits study.presets
    config.recipes""".split()
WITHOUT_PANDAS = [
    "derm_core",
    *(f"derm_core.{name}" for name in GROUND),
    *(f"derm_core.commands.{name}" for name in COMMANDS),
    *(
        name
        for name in MODULES
        if name.startswith("derm_core.jobs") and name != "derm_core.jobs.preflight"
    ),
    "derm_core.insight.map_run",  # PyTorch comes after UMAP's process has started
]
HEAVY = (
    "streamlit",
    "plotly",
    "umap",
    "pynndescent",
    "numba",
    "faiss",
    "timm",
)  # seconds each, where used
PACKAGES = (*HEAVY, "torch", "sklearn", "pandas")
LIGHT = [*WITHOUT_PANDAS, *(f"derm_core.{name}" for name in WITH_PANDAS)]


def loaded(modules: list[str]) -> dict[str, list[str]]:
    """What a fresh interpreter has loaded of the packages asked about, after each import in turn."""
    script = f"""
import importlib, json, sys
seen = {{}}
for name in {modules!r}:
    importlib.import_module(name)
    seen[name] = [p for p in {PACKAGES!r} if p in sys.modules]
print(json.dumps(seen))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def first_to_load(seen: dict[str, list[str]], package: str) -> str | None:
    return next((name for name, packages in seen.items() if package in packages), None)


@pytest.mark.slow
def test_no_module_of_the_engine_loads_what_takes_seconds():
    seen = loaded(MODULES)
    assert set(seen) == set(MODULES) and len(MODULES) > 20
    for package in HEAVY:
        assert first_to_load(seen, package) is None


@pytest.mark.slow
def test_light_modules_do_not_load_torch_or_scikit_learn():
    seen = loaded(LIGHT)
    for package in ("torch", "sklearn"):
        assert first_to_load(seen, package) is None


def test_the_command_line_and_the_jobs_load_no_pandas_either():
    seen = loaded(WITHOUT_PANDAS)
    assert first_to_load(seen, "pandas") is None
