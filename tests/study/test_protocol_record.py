"""What is fixed before a test: one hash for a comparison and its folds, another for every other setting or rule."""

import dataclasses
import hashlib
import json

import pytest

from derm_core.config import PretrainConfig, Recipe, StudyConfig
from derm_core.config.recipes import RECIPES
from derm_core.errors import RunError
from derm_core.files import read_json, write_json
from derm_core.jobs.dependencies import fold_studies
from derm_core.records import from_json, to_json
from derm_core.study import protocol_record
from derm_core.study.presets import preset
from derm_core.study.protocol_record import digest, fix_protocol, join_protocols, protocol_content
from derm_core.study.study_result import StudyResult, study_result
from derm_core.study.summaries import FixedProtocol
from tests.report.full_study import example

FOLDS = StudyConfig(dataset="tiny", folds=3, pretrain=PretrainConfig(dataset="tiny", seed=4))


def hash_of(config, fingerprint="abc"):
    return digest(protocol_content(config, fingerprint))


def test_the_hash_is_that_of_sorted_keys_without_blanks():
    content = {"b": [0.02, 1], "a": {"ä": None}}
    assert digest(content) == hashlib.sha256('{"a":{"ä":null},"b":[0.02,1]}'.encode()).hexdigest()
    assert digest(json.loads(json.dumps(content))) == digest(dict(reversed(content.items())))


def test_every_fold_has_the_protocol_of_the_whole():
    folds = [dataclasses.replace(fold, vae_run="pretrain-1") for fold in fold_studies(FOLDS)]
    whole = dataclasses.replace(FOLDS, fold_runs=("a", "b", "c"))
    assert {hash_of(config) for config in (FOLDS, whole, *folds)} == {hash_of(FOLDS)}


def test_where_it_runs_changes_nothing():
    assert hash_of(dataclasses.replace(FOLDS, device="cpu", preset="laptop")) == hash_of(FOLDS)


@pytest.mark.parametrize(
    "change",
    [
        {"arms": ("random", "vae", "both", "imagenet")},
        {"seeds": (4, 3, 2, 1, 0)},
        {"learning_rates": FOLDS.learning_rates[::-1]},
        {"label_fractions": (1.0,)},
    ],
)
def test_the_order_in_which_settings_are_named_changes_nothing(change):
    assert hash_of(dataclasses.replace(FOLDS, **change)) == hash_of(FOLDS)


def test_what_a_recipe_does_is_fixed_not_its_name_alone(monkeypatch):
    study = dataclasses.replace(FOLDS, arms=("vae", "recipe:masked", "imagenet"))
    before = hash_of(study)
    changed = dataclasses.replace(RECIPES["masked"], beta=2.0)
    monkeypatch.setitem(RECIPES, "masked", changed)
    assert hash_of(study) != before


def test_a_stand_in_is_not_called_the_primary_test():
    content = protocol_content(dataclasses.replace(FOLDS, arms=("vae", "random")), "abc")
    assert "secondary" in content["primary"]["stand_in"]
    assert "stand_in" not in protocol_content(FOLDS, "abc")["primary"]


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": (0, 1)},
        {"learning_rates": (1e-3,)},
        {"arms": ("vae", "random")},
        {"split_seed": 1},
        {"folds": 5},
        {"bootstrap": 100},
        {"label_fractions": (0.1,)},
        {"pretrain": PretrainConfig(dataset="tiny", seed=4, recipe=Recipe(epochs=2))},
        {"pretrain": PretrainConfig(dataset="tiny", seed=5)},
    ],
)
def test_every_setting_that_changes_a_number_changes_the_hash(change):
    assert hash_of(dataclasses.replace(FOLDS, **change)) != hash_of(FOLDS)


def test_the_opponent_of_several_input_sizes_is_the_one_that_validation_chooses():
    config = dataclasses.replace(FOLDS, arms=("vae", "imagenet", "imagenet@96", "both"))
    content = protocol_content(config, "abc")
    assert content["primary"]["arms"] == ["vae", "imagenet@best"]
    pairs = content["secondary_pairs"]["balanced_accuracy"]
    assert ["both", "imagenet@best"] in pairs and ["vae", "imagenet"] in pairs
    assert content["arms"] == ["vae", "imagenet", "imagenet@96", "both"]


def test_other_images_or_other_margins_are_another_protocol(monkeypatch):
    before = hash_of(FOLDS)
    assert hash_of(FOLDS, "def") != before
    monkeypatch.setitem(protocol_record.MARGINS, "ece", 0.5)
    assert hash_of(FOLDS) != before


def test_a_resumed_run_keeps_its_protocol_and_time(workspace):
    run = workspace.run("study-1").create()
    first = fix_protocol(FOLDS, "abc", run)
    assert (
        fix_protocol(FOLDS, "abc", run)
        == first
        == from_json(FixedProtocol, read_json(run.protocol))
    )


def test_a_protocol_that_was_edited_is_refused(workspace):
    run = workspace.run("study-1").create()
    body = to_json(fix_protocol(FOLDS, "abc", run))
    body["content"]["margins"]["balanced_accuracy"] = 0.5
    write_json(run.protocol, body)
    with pytest.raises(RunError, match="margins"):
        fix_protocol(FOLDS, "abc", run)


def test_predictions_without_a_protocol_are_given_none_afterwards(workspace):
    run = workspace.run("study-1").create()
    run.predictions.write_bytes(b"")
    assert fix_protocol(FOLDS, "abc", run) is None and not run.protocol.exists()


def folds_under(config, *times) -> list[StudyResult]:
    content = protocol_content(config, "abc")
    return [
        dataclasses.replace(
            study_result(example()),
            protocol=None if time is None else FixedProtocol(sha256=digest(content), created=time),
        )
        for time in times
    ]


def test_folds_joined_were_fixed_when_the_first_of_them_was(workspace):
    run = workspace.run("study-1").create()
    joined = join_protocols(FOLDS, "abc", run, folds_under(FOLDS, 30.0, 10.0, 20.0))
    assert joined.created == 10 and joined.sha256 == hash_of(FOLDS)
    assert read_json(run.protocol) == to_json(joined)


def test_a_fold_without_a_protocol_leaves_the_whole_without(workspace):
    run = workspace.run("study-1").create()
    assert join_protocols(FOLDS, "abc", run, folds_under(FOLDS, 30.0, None, 20.0)) is None


def test_a_fold_of_another_protocol_is_not_joined(workspace):
    other = dataclasses.replace(FOLDS, bootstrap=100)
    with pytest.raises(RunError, match="another protocol"):
        join_protocols(FOLDS, "abc", workspace.run("s").create(), folds_under(other, 1.0))


def test_the_protocol_of_the_preset_folds_stays_what_published_results_were_made_under():
    pinned = "9628fdb11cb6da1ee2c630e1c1672f12520bb340f63ff77e4d230b4ed235bf53"
    assert hash_of(preset("folds"), "f" * 64) == pinned


def test_how_classifiers_train_on_large_sets_is_fixed_where_a_set_is_large():
    large = protocol_content(FOLDS, "abc", images=20_000)
    assert "16,384 training images" in large["steps"]
    assert large == protocol_content(FOLDS, "abc", images=10_015) | {"steps": large["steps"]}
    small_steps = dataclasses.replace(FOLDS, batch_size=32)
    assert "steps" in protocol_content(small_steps, "abc", images=10_015)
    whole_networks = dataclasses.replace(FOLDS, regime="finetune")
    assert "steps" not in protocol_content(whole_networks, "abc", images=20_000)


def test_a_large_study_begun_before_larger_steps_is_not_resumed(workspace):
    """Its protocol says nothing of them: an earlier version began it with steps of one size."""
    run = workspace.run("study-1").create()
    fix_protocol(FOLDS, "abc", run)
    with pytest.raises(RunError, match="another steps"):
        fix_protocol(FOLDS, "abc", run, images=20_000)


def test_arms_that_saw_the_images_are_counted_only_where_a_setting_says_so():
    asked = dataclasses.replace(FOLDS, count_seen=True)
    assert "count_seen" not in to_json(FOLDS) and hash_of(asked) != hash_of(FOLDS)
    own = dataclasses.replace(FOLDS, arms=("vae", "timm:resnet18@64", "random"))
    content = protocol_content(own, "abc")
    assert "takes no part in the verdict" in content["seen"] and "seen" not in protocol_content(
        FOLDS, "abc"
    )
    assert ["timm:resnet18@64", "random"] in content["secondary_pairs"]["balanced_accuracy"]


def test_what_stands_behind_a_name_is_fixed(workspace):
    study, run = dataclasses.replace(FOLDS, arms=("embeddings:clip", "random")), workspace.run("s")
    first, other = ({"embeddings:clip": {"sha256": digit * 64}} for digit in "12")
    fix_protocol(study, "abc", run.create(), first)
    assert fix_protocol(study, "abc", run, first).content["weights"] == first
    with pytest.raises(RunError, match="another weights"):
        fix_protocol(study, "abc", run, other)

    def fold(weights):
        content = protocol_content(study, "abc", weights)
        fixed = FixedProtocol(sha256=digest(content), created=1.0, content=content)
        return dataclasses.replace(study_result(example()), protocol=fixed)

    whole = workspace.run("whole").create()
    assert (
        join_protocols(study, "abc", whole, [fold(first), fold(first)]).content["weights"] == first
    )
    with pytest.raises(RunError, match=r"tested under another protocol \(another weights\)"):
        join_protocols(study, "abc", whole, [fold(first), fold(other)])
