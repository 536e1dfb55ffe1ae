"""README and docs hold the figures of the cards and results; links lead somewhere; pictures are small."""

import json
import re
from pathlib import Path

import pytest

from derm_core.data import decode, strip_metadata
from derm_core.jobs.store import BUSY_SECONDS
from tools import results

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_figures_are_those_of_the_cards_and_results():
    for path, text in results.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python -m tools.results"


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_of_the_documentation_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    inside = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_that_the_documentation_names_exist(page):
    names = re.findall(
        r"`((?:derm_core|pages|tests|tools|benchmarks|experiments)/[\w./-]*)`",
        page.read_text(encoding="utf-8"),
    )
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_promises_say_what_the_gate_and_the_results_say():
    promised = " ".join((ROOT / "docs" / "limits.md").read_text(encoding="utf-8").split())
    load, fuzz = (
        json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        for name in ("load", "fuzz")
    )
    for statement in (
        f"{load['training_slowdown']:.1f} times as long",
        f"within {load['p95_seconds']:.2f} s on two cores",
        f"changes within {load['visit_p95_seconds']:.2f} s",
        f"{load['throughput_ratio']:.2f} times the rate",
        f"at most {decode.MAX_BYTES // 2**20} MB and {decode.MAX_PIXELS // 10**6} million pixels, "
        f"{decode.MAX_PHOTO_PIXELS // 10**6} million in a JPEG of one scan",
        f"over {strip_metadata.MAX_SCANS} scans",
        f"Of {fuzz['files']:,} broken",
        f"held it for {fuzz['limit_seconds']:.0f} s",
        "locked for ten seconds",
    ):
        assert statement in promised, statement
    assert (
        load["errors"] == fuzz["crashed"] == fuzz["hung"] == 0
        and fuzz["peak_mb"] < fuzz["limit_mb"]
        and BUSY_SECONDS == 10
    )
    assert {
        kind.upper()
        for kind in re.search(r"Images are ([^(]*)", promised)[1]
        .replace(" or", ",")
        .replace(" ", "")
        .split(",")
    } == set(decode.FORMATS)


def test_pictures_exist_and_are_small_in_all():
    pictures = [ROOT / path for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)]
    assert pictures and all(path.is_file() for path in pictures)
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()) <= 1_500_000


def test_it_opens_with_the_two_commands():
    first = README.split("```")[1].strip().splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make app", "make test"]


def test_the_shipped_models_are_small_and_only_they_are_large():
    weights = list((ROOT / "models").glob("*/model.safetensors"))
    assert sum(path.stat().st_size for path in weights) <= 20_000_000


def save(folder, file, **result):
    (folder / f"{file}.json").write_text(json.dumps(result))


def test_results_stand_with_their_machine_limit_and_direction(tmp_path):
    small = {"system": "Linux", "processor": "AMD EPYC", "cores": 2, "memory_gb": 23.5}
    large = {
        "system": "Linux",
        "processor": "Xeon",
        "cores": 16,
        "memory_gb": 128.2,
        "gpu": "NVIDIA H100",
    }
    save(
        tmp_path,
        "train",
        name="train",
        ratio=0.953,
        limit=0.92,
        better="higher",
        ours=1234.5,
        against=1295.0,
        unit="images/s",
        peer="the bare step",
        command="python -m benchmarks train --json",
        machine=small,
    )
    save(
        tmp_path,
        "train-h100",
        name="train",
        ratio=0.91,
        limit=0.95,
        better="higher",
        ours=5e4,
        against=5.5e4,
        unit="images/s",
        peer="the bare step",
        command="python -m benchmarks train --size 224 --json",
        machine=large,
    )
    save(
        tmp_path,
        "synth",
        name="synth",
        ratio=0.4,
        ours=13.07,
        against=30.0,
        unit="s",
        limit=1.0,
        machine=small,
    )
    save(tmp_path, "study", verdict="not a benchmark")
    lines = results.benchmarks_part(tmp_path).splitlines()
    assert [line for line in lines if line.startswith("**")] == [
        "**AMD EPYC, 2 cores, 24 GB, Linux**",
        "**NVIDIA H100, Xeon, 16 cores, 128 GB, Linux**",
    ]
    assert [line for line in lines if line.startswith("| `")] == [
        "| `python -m benchmarks synth --json` | 0.4 | ≤ 1 | 13.07 s | 30 s |  |",
        "| `python -m benchmarks train --json` | 0.953 | ≥ 0.92 | 1,234 images/s | 1,295 images/s | the bare step |",
        "| `python -m benchmarks train --size 224 --json` | 0.91 | ≥ 0.95, missed | 50,000 "
        "images/s | 55,000 images/s | the bare step |",
    ]


def test_without_results_it_says_so(tmp_path):
    assert "No result" in results.benchmarks_part(tmp_path)
