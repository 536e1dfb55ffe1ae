"""The lock files name every installed package by its hashes, in the versions of requirements.txt."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.licences import installed, required

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)(?:\s*;\s*([^\\]+))?", re.MULTILINE)
LOCKS = ("requirements.lock", "requirements-dev.lock")


def pins(file: str) -> dict[str, str]:
    """Versions in a file, by normalised name."""
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version, _ in PIN.findall((ROOT / file).read_text())
    }


def project_pins(key: str | None = None) -> dict[str, str]:
    """Versions in pyproject.toml: of the product, or of one of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][key] if key else project["dependencies"]
    requirements = [Requirement(line) for line in lines]
    assert all(str(one.specifier).startswith("==") for one in requirements)
    return {one.name.lower().replace("_", "-"): str(one.specifier)[2:] for one in requirements}


def test_the_package_asks_for_the_versions_of_the_requirements_files():
    assert project_pins() == pins("requirements.txt")
    assert project_pins("dev") == pins("requirements-dev.txt")
    names = ("heic", "trackers", "onnx", "login")
    extras = {name: pin for extra in names for name, pin in project_pins(extra).items()}
    assert extras == pins("requirements-extras.txt")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_agrees_with_its_requirements_and_with_the_constraints(lock):
    locked, asked = (
        pins(lock),
        pins("requirements.txt") | (pins("requirements-dev.txt") if "dev" in lock else {}),
    )
    assert asked and {name: locked.get(name) for name in asked} == asked
    constrained = pins("constraints.txt")
    assert {name: constrained[name] for name in locked if name in constrained} == {
        name: version for name, version in locked.items() if name in constrained
    }
    free = {name for name in locked if name not in constrained}
    elsewhere = {
        name.lower()
        for name, _, marker in PIN.findall((ROOT / lock).read_text())
        if "sys_platform == 'emscripten'" in marker
    }
    assert free <= elsewhere, "run: make lock, and add these to constraints.txt"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_nothing_but_versions_and_their_hashes(lock):
    entries = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    line = re.compile(r"[A-Za-z0-9._-]+==\S+( ; [^#]+?)?\s+(--hash=sha256:[0-9a-f]{64}\s*)+")
    assert [
        entry for entry in entries if not entry.startswith("#") and not line.fullmatch(entry)
    ] == []
    assert len(entries) > 50 and "://" not in "".join(entries)


def test_the_app_lock_covers_all_that_is_installed_for_it():
    locked = pins("requirements.lock")
    found = {
        name: package.version for name, package in installed(required()).items()
    }  # setuptools: venv puts its own there first
    assert "jinja2" in found and {
        name: locked.get(name) for name in found if name != "setuptools"
    } == {name: version for name, version in found.items() if name != "setuptools"}


def test_the_development_lock_is_the_app_lock_and_more():
    assert pins("requirements.lock").items() < pins("requirements-dev.lock").items()


def test_what_the_login_needs_is_pinned_in_versions_that_streamlit_takes():
    asked, constrained = pins("requirements-extras.txt"), pins("constraints.txt")
    needed = [Requirement(line) for line in requires("streamlit") if 'extra == "auth"' in line]
    assert {one.name.lower() for one in needed} == {"authlib", "httpx"}
    for one in needed:
        assert (
            one.specifier.contains(asked[one.name.lower()])
            and constrained[one.name.lower()] == asked[one.name.lower()]
        )
