"""A comparison in folds is queued fold by fold, and the same command again goes on with what is not done."""

import dataclasses

import pytest

from derm_core.commands.fold_progress import FoldProgress
from derm_core.config import PretrainConfig, StudyConfig, from_dict
from derm_core.config.recipes import recipe
from derm_core.errors import RunError
from derm_core.jobs import supervisor
from derm_core.jobs.dependencies import fold_studies, stored_config, waits_for
from derm_core.jobs.store import RunStore

CONFIG = StudyConfig(dataset="synth", folds=3, pretrain=PretrainConfig(dataset="synth"))


@pytest.fixture
def started(monkeypatch):
    """Ids of the runs for which a worker would have been started; none is."""
    run_ids = []
    monkeypatch.setattr(
        supervisor, "spawn", lambda workspace, run_id, seen=None: run_ids.append(run_id) or True
    )
    return run_ids


def ended(workspace, run_id, state):
    assert RunStore(workspace).transition(
        run_id, ("queued", "running"), state, started=10.0, finished=110.0
    )


def fold_runs(workspace, run_id):
    """[(pretraining, study)] of every fold."""
    studies = waits_for(workspace, RunStore(workspace).get(run_id))
    return [(*waits_for(workspace, RunStore(workspace).get(study)), study) for study in studies]


def test_every_fold_has_a_study_and_a_pretraining_of_its_own(workspace, started):
    run_id = supervisor.submit(workspace, CONFIG)
    folds = fold_runs(workspace, run_id)
    assert started == [*(run for fold in folds for run in fold), run_id] and len(set(started)) == 7
    for number, (pretraining, study) in enumerate(folds, start=1):
        made, config = (from_dict(stored_config(workspace, run)) for run in (pretraining, study))
        assert (made.folds, made.fold, config.folds, config.fold, config.vae_run) == (
            3,
            number,
            3,
            number,
            pretraining,
        )
    assert from_dict(stored_config(workspace, run_id)).all_folds


def with_recipes(**changes):
    pretrain = PretrainConfig(dataset="synth", recipe=recipe("views", epochs=16), seed=7)
    arms = ("recipe:paper", "vae", "recipe:masked", "imagenet")
    return dataclasses.replace(CONFIG, arms=arms, pretrain=pretrain, **changes)


def test_a_fold_pretrains_every_recipe_with_the_seed_of_the_fold(workspace, started):
    config = with_recipes()
    run_id = supervisor.submit(workspace, config)
    assert len(started) == 13
    for number, (*pretrainings, study) in enumerate(fold_runs(workspace, run_id), start=1):
        made = [from_dict(stored_config(workspace, run)) for run in pretrainings]
        of_fold = from_dict(stored_config(workspace, study))
        assert [of_fold.vae_run, *of_fold.recipe_runs] == pretrainings
        main = dataclasses.replace(config.pretrain, folds=3, fold=number, seed=7 + number - 1)
        assert made == [
            dataclasses.replace(main, recipe=one)
            for one in (
                config.pretrain.recipe,
                recipe("paper", epochs=32),
                recipe("masked", epochs=32),
            )
        ]


def test_a_study_of_one_split_pretrains_every_recipe_with_one_seed(workspace, started):
    run_id = supervisor.submit(workspace, with_recipes(folds=0))
    config = from_dict(stored_config(workspace, run_id))
    assert started == [config.vae_run, *config.recipe_runs, run_id]
    made = [from_dict(stored_config(workspace, run)) for run in started[:-1]]
    assert [one.recipe.name for one in made] == ["views", "paper", "masked"]
    assert {one.seed for one in made} == {7} and {one.folds for one in made} == {0}
    with pytest.raises(RunError, match=f"is used by {run_id}"):
        ended(workspace, started[1], "done")
        supervisor.delete_run(workspace, started[1])


def test_a_comparison_of_recipes_goes_on_where_it_stopped(workspace, started):
    config = with_recipes()
    run_id = supervisor.submit(workspace, config)
    (vae, paper, masked, study), *others = fold_runs(workspace, run_id)
    for run in (vae, masked, *(run for fold in others for run in fold)):
        ended(workspace, run, "done")
    for run, state in ((paper, "interrupted"), (study, "failed"), (run_id, "failed")):
        ended(workspace, run, state)
    started.clear()
    assert supervisor.submit(workspace, config) == run_id
    assert started == [paper, study, run_id]


def test_arms_without_a_vae_need_no_pretraining(workspace, started):
    config = dataclasses.replace(CONFIG, arms=("imagenet", "random"), pretrain=None)
    supervisor.submit(workspace, config)
    assert len(started) == 4 and not RunStore(workspace).list("pretrain")


def test_the_same_command_again_starts_nothing_that_is_done_or_under_way(workspace, started):
    run_id = supervisor.submit(workspace, CONFIG)
    for run in fold_runs(workspace, run_id)[0]:
        ended(workspace, run, "done")
    started.clear()
    assert supervisor.submit(workspace, CONFIG) == run_id and started == []
    assert len(RunStore(workspace).list()) == 7


def test_what_was_interrupted_goes_on_and_what_is_done_stays(workspace, started):
    run_id = supervisor.submit(workspace, CONFIG)
    first, second, third = fold_runs(workspace, run_id)
    for run in (*first, second[0], *third):
        ended(workspace, run, "done")
    ended(workspace, second[1], "interrupted")
    ended(workspace, run_id, "failed")
    started.clear()
    assert supervisor.submit(workspace, CONFIG) == run_id
    assert started == [second[1], run_id] and len(RunStore(workspace).list()) == 7


def test_an_interrupted_pretraining_goes_on_before_its_study(workspace, started):
    run_id = supervisor.submit(workspace, CONFIG)
    (pretraining, study), *others = fold_runs(workspace, run_id)
    for run in (run for fold in others for run in fold):
        ended(workspace, run, "done")
    for run, state in ((pretraining, "interrupted"), (study, "failed"), (run_id, "failed")):
        ended(workspace, run, state)
    started.clear()
    supervisor.submit(workspace, CONFIG)
    assert started == [pretraining, study, run_id]
    assert RunStore(workspace).get(pretraining).state == "queued"


def test_a_fold_that_was_deleted_is_made_anew_and_put_together_in_a_new_run(workspace, started):
    run_id = supervisor.submit(workspace, CONFIG)
    folds = fold_runs(workspace, run_id)
    for run in (*(run for fold in folds for run in fold), run_id):
        ended(workspace, run, "done")
    with pytest.raises(RunError, match=f"is used by {run_id}"):
        supervisor.delete_run(workspace, folds[1][1])
    supervisor.delete_run(workspace, folds[1][1], force=True)
    started.clear()
    again = supervisor.submit(workspace, CONFIG)
    assert again != run_id and len(started) == 2 and started[1] == again
    assert fold_runs(workspace, again)[1][0] == folds[1][0], "its pretraining is there still"


def test_other_settings_are_other_folds(workspace, started):
    supervisor.submit(workspace, CONFIG)
    started.clear()
    supervisor.submit(workspace, dataclasses.replace(CONFIG, epochs=61))
    assert len(started) == 4, (
        "three studies and what puts them together; the pretrainings are the same"
    )


def test_cancelling_stops_all_folds(workspace, started):
    run_id = supervisor.submit(workspace, CONFIG)
    ended(workspace, fold_runs(workspace, run_id)[0][0], "done")
    supervisor.cancel(workspace, run_id)
    states = [run.state for run in RunStore(workspace).list()]
    assert sorted(states) == ["cancelled"] * 6 + ["done"]


def test_a_fold_is_named_with_the_time_that_all_of_them_take(workspace, started):
    run_id = supervisor.submit(workspace, CONFIG)
    first, second, _ = fold_runs(workspace, run_id)
    folds = FoldProgress(workspace, run_id)
    assert folds.summary() == "0 of 3 folds done." and folds.prefix(second[0]) == "fold 2 of 3: "
    for run in first:
        ended(workspace, run, "done")  # 100 s each
    folds = FoldProgress(workspace, run_id)
    assert (
        folds.seconds_left() == 400
        and folds.prefix(second[1]) == "fold 2 of 3, 6 min 40 s left in all: "
    )
    assert folds.summary().startswith("1 of 3 ") and "6 min 40 s" in folds.summary()
    assert folds.studies == [fold[1] for fold in fold_runs(workspace, run_id)]
    assert folds.prefix(run_id) == ""


def test_the_studies_of_the_folds_ask_what_the_comparison_asks():
    config = dataclasses.replace(CONFIG, label_fractions=(0.1, 1.0), arms=("vae", "imagenet"))
    for one in fold_studies(config):
        assert (one.label_fractions, one.arms, one.fold_runs) == (
            (0.1, 1.0),
            ("vae", "imagenet"),
            (),
        )
