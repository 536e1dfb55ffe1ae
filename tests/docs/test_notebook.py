"""The example notebook runs as it stands, holds no output, and names nothing of a machine."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import derm_core
from derm_core import api
from derm_core.errors import ConfigError, RunError

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


def cells(kind):
    body = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert body["nbformat"] == 4
    assert len({cell["id"] for cell in body["cells"]}) == len(body["cells"])
    return [cell for cell in body["cells"] if cell["cell_type"] == kind]


def test_the_notebook_holds_no_output_and_no_path():
    assert all(cell["outputs"] == [] and not cell["execution_count"] for cell in cells("code"))
    assert not re.search(r'["\' ]/(home|root|tmp|Users|work)\b', NOTEBOOK.read_text())
    opening = "".join(cells("markdown")[0]["source"])
    assert "compare" in opening and len(cells("code")) >= 6


@pytest.mark.slow
def test_every_cell_runs(workspace, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for number, cell in enumerate(cells("code")):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    study = names["study"]
    assert study.arms.index.tolist() == ["colour", "random"] and study.verdict
    assert study.arms["balanced_accuracy"].between(0, 1).all()
    assert isinstance(study.differences, pd.DataFrame) and len(study.differences)
    assert type(names["figure"]).__module__.startswith("plotly") and len(study.figures) > 5
    assert names["features"].shape == (40, names["extractor"].width)
    assert "<table" in study._repr_html_() and "study" in capsys.readouterr().out
    assert derm_core.compare("synth-120", ["random", "colour"], **SETTINGS).files == study.files
    array = derm_core.load_extractor("random", input_size=32)
    image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    assert array.features([image, image]).shape == (2, 256)
    with pytest.raises(ValueError, match="uint8"):
        array.features([image.astype(float)])


SETTINGS = {"seeds": (0, 1), "epochs": 8, "bootstrap": 100, "device": "cpu"}


def test_a_wrong_setting_arm_or_run_is_said(workspace):
    with pytest.raises(ConfigError, match="allowed: architecture"):
        derm_core.compare("synth-120", ["random"], epoch=3)
    with pytest.raises(ConfigError, match="arms"):
        derm_core.compare("synth-120", ["nonsense"])
    with pytest.raises(ConfigError, match="one network"):
        derm_core.load_extractor("metadata+random")
    with pytest.raises(RunError, match="no result"):
        derm_core.open_comparison("study-9")
    with pytest.raises(AttributeError):
        derm_core.nothing  # noqa: B018
    assert set(derm_core.API) <= set(dir(derm_core)) and set(derm_core.API) <= set(vars(api))


def test_a_study_without_a_vae_pretrains_none():
    config = api._study(
        "synth-120", ["random"], None, {"input_size": 32, "architecture": "resnet18"}
    )
    assert config.pretrain is None and config.input_size == 32
    config = api._study("synth-120", ["vae", "random"], None, {"input_size": 32})
    assert config.pretrain.input_size == 32 and config.pretrain.dataset == "synth-120"
