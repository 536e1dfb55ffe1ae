"""Images, seconds and energy of arms: what is known is added up, what is not stays unknown."""

from __future__ import annotations

import json

import pytest

from derm_core import machine
from derm_core.study.clinical_answers import ArmCost, Cost
from derm_core.study.cost import cost_of_folds, study_cost
from tests.study.trained import trained_study

pytestmark = pytest.mark.slow


def test_a_study_counts_its_images_and_seconds(workspace, tiny):
    study = trained_study(workspace)
    cost = study_cost(study)
    assert set(cost.arms) == {"colour", "random"} and set(cost.power) == {"cpu"}
    sidecars = (workspace.cache / "features").glob("*.json")
    seconds = sum(json.loads(path.read_text())["seconds"] for path in sidecars)
    features = sum(of.feature_seconds for of in cost.arms.values())
    assert features == pytest.approx(seconds), "every extractor of every initialisation once"
    heads = sum(of.head_seconds for of in cost.arms.values())
    assert heads == pytest.approx(study.frozen.seconds) and heads > 0
    for of in cost.arms.values():
        assert of.head_images == len(study.data.members("train"))
        assert of.pretraining_images == of.pretraining_seconds == 0
        watts = cost.power["cpu"].watts
        expected = (of.feature_seconds + of.head_seconds) * watts / 3.6e6
        assert of.energy_kwh == pytest.approx(expected)


def test_features_from_a_cache_of_before_have_no_seconds(workspace, tiny):
    study = trained_study(workspace)
    for path in (workspace.cache / "features").glob("*.json"):
        path.unlink()
    assert study_cost(study).arms["colour"].feature_seconds is None


def test_folds_add_their_seconds_and_an_unknown_one_is_not_guessed():
    one = ArmCost(pretraining_images=10, pretraining_seconds=5.0, head_seconds=1.0, energy_kwh=0.1)
    other = ArmCost(pretraining_images=20, pretraining_seconds=7.0, energy_kwh=0.2)
    joined = cost_of_folds([Cost(arms={"vae": one}), Cost(arms={"vae": other})], ["vae"]).arms[
        "vae"
    ]
    assert joined.pretraining_images == 15 and joined.pretraining_seconds == 12
    assert joined.head_seconds is None and joined.energy_kwh == pytest.approx(0.3)
    assert cost_of_folds([Cost(arms={"vae": one}), None], ["vae"]) is None


def test_power_is_the_processor_s_limit_where_the_system_states_it(tmp_path, monkeypatch):
    machine.power.cache_clear()
    monkeypatch.setattr(machine, "POWERCAP", tmp_path)
    assumed = machine.power("cpu")
    assert assumed.watts == machine.CORE_WATTS * machine.cpu_cores()
    for package in range(2):
        folder = tmp_path / f"intel-rapl:{package}"
        folder.mkdir()
        (folder / "constraint_0_power_limit_uw").write_text("65000000\n")
    machine.power.cache_clear()
    stated = machine.power("cpu")
    machine.power.cache_clear()
    assert stated.watts == 130 and stated.source != assumed.source
