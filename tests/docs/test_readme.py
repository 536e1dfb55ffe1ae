"""README says what the cards and results say, names its commands, and its pictures are small."""

import re
from pathlib import Path

from docs import results

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_cards_and_results():
    assert results.filled(README) == README, "run: python -m docs.results"


def test_pictures_exist_and_are_small_in_all():
    pictures = [ROOT / path for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)]
    assert pictures and all(path.is_file() for path in pictures)
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()) <= 1_500_000


def test_it_opens_with_the_two_commands():
    first = README.split("```")[1].strip().splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make app", "make test"]


def test_the_shipped_models_are_small_and_only_they_are_large():
    weights = list((ROOT / "models").glob("*/model.safetensors"))
    assert sum(path.stat().st_size for path in weights) <= 15_000_000
