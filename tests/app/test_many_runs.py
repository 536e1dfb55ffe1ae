"""Pages with more runs than they list: the newest are shown, of how many is said, the others are found; old ones go."""

from __future__ import annotations

import pytest

from derm_core.config import EmbedConfig, PretrainConfig, StudyConfig, to_dict
from derm_core.files import read_json, write_json
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import RunStore
from derm_core.study.study_result import read_study
from pages.ui import cached, run_choice, runs_table
from tests.app.maps import put_map
from tests.builders import write_dataset
from tests.report.full_study import example

CONFIGS = {
    "pretrain": to_dict(PretrainConfig(dataset="d")),
    "study": to_dict(StudyConfig(dataset="d", arms=("random", "imagenet"))),
    "embed": to_dict(EmbedConfig(dataset="d", arm="random", input_size=64)),
}


def put(workspace, kind: str, count: int = 1) -> list[str]:
    """Finished runs called "kind 0", "kind 1" …: their ids, oldest first."""
    store, ids = RunStore(workspace), []
    for number in range(count):
        run_id = store.create(kind, CONFIGS[kind], name=f"{kind} {number}")
        store.transition(run_id, "queued", "done", finished=2.0)
        if kind == "study":
            write_json(workspace.run(run_id).study, example() | {"run_id": run_id})
        ids.append(run_id)
    return ids


def text(app) -> str:
    return "\n".join(element.value for element in (*app.caption, *app.markdown))


def listed(app) -> list[str]:
    return app.dataframe[0].value["Id"].tolist()


def options(app, label: str) -> str:
    return "\n".join(next(box for box in app.selectbox if box.label == label).options)


@pytest.fixture
def small(monkeypatch):
    """Lists of three runs, and of two in a choice."""
    monkeypatch.setattr(runs_table, "PAGE", 3)
    monkeypatch.setattr(runs_table, "FEW", 3)
    monkeypatch.setattr(run_choice, "OFFERED", 2)


def test_runs_come_a_page_at_a_time_and_are_found_by_words_and_kind(open_page, workspace, small):
    ids = [*put(workspace, "embed", 4), *put(workspace, "pretrain", 3)]
    app = open_page("train")
    assert listed(app) == ids[:3:-1] and "1 to 3 of 7 runs, newest first" in text(app)
    app.pagination[0].set_value(3)
    assert listed(app.run()) == ids[:1] and "7 to 7 of 7" in text(app)
    app.text_input(key="runs-search").set_value("EMBED 2")
    assert listed(app.run()) == [ids[2]] and not app.pagination
    app.text_input(key="runs-search").set_value("nothing of the kind")
    assert not app.run().dataframe and "No run is found" in text(app)
    app.text_input(key="runs-search").set_value("")
    app.selectbox(key="runs-kind").set_value("pretrain")
    assert listed(app.run()) == ids[:3:-1] and not app.exception


def test_old_runs_are_archived_on_the_page_and_brought_back(open_page, workspace):
    ended, queued = (
        put(workspace, "embed", 2),
        RunStore(workspace).create("embed", CONFIGS["embed"]),
    )
    app = open_page("train")
    assert listed(app) == [queued, *ended[::-1]]
    app.button(key="archive-runs").click()
    assert listed(app.run()) == [queued] and not app.exception
    assert all(workspace.run(run_id).config.exists() for run_id in ended)
    app.session_state["runs-archived"] = True
    assert listed(app.run()) == ended[::-1]
    app.button(key="unarchive-runs").click()
    assert listed(app.run()) == [queued, *ended[::-1]] and not app.exception
    assert RunStore(workspace).count(RunFilter(archived=True)) == 0


def test_an_archived_run_is_opened_by_its_link_and_brought_back(open_page, workspace):
    run_id, other = put(workspace, "embed", 2)
    app = open_page("train", run=run_id)
    app.button(key="archive-run").click()
    app.run()
    assert "Archived" in text(app) and app.query_params["run"] == run_id
    assert listed(app) == [other] and RunStore(workspace).get(run_id).archived
    app.button(key="archive-run").click()
    assert listed(app.run()) == [other, run_id] and not app.exception


def test_choices_of_runs_offer_the_newest_and_find_the_others(open_page, workspace, small):
    put(workspace, "pretrain", 4)
    app = open_page("train", preset="demo", scale="0.1")
    assert "newest 2 of 4 pretrainings; the search reaches the others" in text(app)
    assert "pretrain 3" in options(app, "VAE") and "pretrain 1" not in options(app, "VAE")
    [search] = [box for box in app.text_input if (box.key or "").startswith("vae-")]
    search.set_value("pretrain 1")
    app.run()
    assert "pretrain 1" in options(app, "VAE") and "pretrain 3" not in options(app, "VAE")
    assert "1 of 4 pretrainings" in text(app) and not app.exception


@pytest.mark.parametrize("archived", [False, True])
def test_a_link_opens_a_study_and_a_map_that_are_not_on_offer(
    open_page, workspace, small, archived
):
    studies = put(workspace, "study", 4)
    if archived:
        RunStore(workspace).set_archived(studies[:1], True)
    app = open_page("compare", run=studies[0])
    [study] = [box for box in app.selectbox if box.label == "Study"]
    assert (study.value, len(study.options)) == (studies[0], 3) and not app.warning
    assert ("archived" in study.options[-1]) == archived
    assert f"newest 2 of {4 - archived} studies" in text(app)
    assert studies[0] not in open_page("compare").selectbox[0].options


def test_a_map_that_is_not_on_offer_is_opened_by_its_link(open_page, workspace, small):
    write_dataset(workspace)
    maps = [put_map(workspace, seed=seed) for seed in range(3)]
    RunStore(workspace).set_archived(maps[:1], True)
    app = open_page("latent", run=maps[0])
    assert next(box for box in app.selectbox if box.label == "Map").value == maps[0]
    assert not app.warning and not app.error


@pytest.mark.slow
@pytest.mark.parametrize("page", ["home", "train", "compare", "latent", "models"])
def test_a_page_does_not_read_every_run(open_page, workspace, small, monkeypatch, page):
    for kind in CONFIGS:
        put(workspace, kind, 15)
    read: list[str] = []

    def counting(path):
        read.append(path.parent.name)
        return read_json(path)

    monkeypatch.setattr(cached, "read_json", counting)
    monkeypatch.setattr(cached, "read_study", lambda path: read.append(path) or read_study(path))
    open_page(page)
    assert len(set(read)) <= 12
