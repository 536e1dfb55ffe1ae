"""Importing the engine loads no screen, and its light modules load nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import derm_core

PACKAGE = Path(derm_core.__file__).parent
MODULES = sorted(
    ".".join(["derm_core", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)
LIGHT = [
    name
    for name in MODULES
    if name.startswith("derm_core.commands")
    or name
    in (
        "derm_core",
        "derm_core.cli",
        "derm_core.config",
        "derm_core.errors",
        "derm_core.events",
        "derm_core.files",
        "derm_core.seeds",
        "derm_core.workspace",
        "derm_core.data.manifest",
        "derm_core.data.splits",
        "derm_core.data.decode",
        "derm_core.training.recipes",
        "derm_core.study.presets",
    )
    or (
        name.startswith("derm_core.jobs") and name != "derm_core.jobs.preflight"
    )  # checks models and datasets before a run is queued
]


def loaded(modules: list[str]) -> dict[str, list[str]]:
    """What a fresh interpreter has loaded of the packages asked about, after each import in turn."""
    script = f"""
import importlib, json, sys
seen = {{}}
for name in {modules!r}:
    importlib.import_module(name)
    seen[name] = [p for p in ("streamlit", "plotly", "umap", "torch", "sklearn", "pandas") if p in sys.modules]
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


def test_no_module_of_the_engine_loads_streamlit_plotly_or_umap():
    seen = loaded(MODULES)
    assert set(seen) == set(MODULES) and len(MODULES) > 20
    for package in ("streamlit", "plotly", "umap"):
        assert first_to_load(seen, package) is None


def test_light_modules_do_not_load_torch_or_scikit_learn():
    seen = loaded(LIGHT)
    for package in ("torch", "sklearn"):
        assert first_to_load(seen, package) is None


def test_the_command_line_and_the_jobs_load_no_pandas_either():
    seen = loaded([name for name in LIGHT if not name.startswith("derm_core.data")])
    assert first_to_load(seen, "pandas") is None
