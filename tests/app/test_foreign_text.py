"""Class names, cards and notes that are HTML or markdown stand on every page letter by letter."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from google.protobuf.json_format import MessageToDict

from derm_core.bundles.card import card_json
from derm_core.config import EmbedConfig, PretrainConfig, PublishConfig, StudyConfig, to_dict
from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.events import Progress
from derm_core.insight import embed
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.app.bundles import put_bundle
from tests.app.test_classify import picture, upload
from tests.builders import CLASSES, noise, write_dataset, write_image

HOSTILE = ("<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", ":red[big] $x$")
FETCHED = "![x](https://planted.example/p.png)"
SHOWN_AS_IS = {
    "arrow_data_frame",
    "plotly_chart",
    "json",
    "code",
    "text",
    "imgs",
}  # no markdown in these
PLAIN_FIELDS = {
    "id",
    "alt",
    "url",
    "key",
    "spec",
    "options",
    "data",
    "queryString",
    "fileName",
    "downloadFilename",
    "value",
    "rawValue",
    "rawValues",
    "placeholder",
}
MARKDOWN_OPTIONS = {"button_group", "radio"}


def raw(app) -> list[str]:
    """Every place of a page where a hostile text stands as markdown."""
    places = []

    def look(value, kind: str, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if not (
                    key in PLAIN_FIELDS and not (key == "options" and kind in MARKDOWN_OPTIONS)
                ):
                    look(item, kind, f"{path}.{key}")
        elif isinstance(value, list):
            for item in value:
                look(item, kind, path)
        elif isinstance(value, str) and any(
            text in value for text in (*HOSTILE, FETCHED, ":red[big]", "$x$")
        ):
            places.append(f"{path}: {value[:200]}")

    def visit(block) -> None:
        for child in getattr(block, "children", {}).values():
            proto = getattr(child, "proto", None)
            kind = getattr(child, "type", "?")
            if kind == "arrow_table":  # st.table reads its cells as markdown
                look(
                    [str(cell) for cell in child.value.reset_index().to_numpy().ravel()], kind, kind
                )
            elif proto is not None and kind not in SHOWN_AS_IS:
                look(MessageToDict(proto), kind, kind)
            visit(child)

    visit(app._tree)
    return places


def spoil(workspace, names: dict[str, str]) -> None:
    """Other class names in everything that a workspace holds."""
    for path in workspace.root.rglob("*.json"):
        text = path.read_text()
        for old, new in names.items():
            text = text.replace(f'"{old}"', json.dumps(new))
        path.write_text(text)
    for path in workspace.root.glob("datasets/*/manifest.parquet"):
        frame = pd.read_parquet(path)
        frame["label"] = frame["label"].map(lambda name: names.get(name, name))
        frame.to_parquet(path)


def hostile_dataset(workspace, labels=HOSTILE):
    """A dataset "hostile" whose classes and image ids are hostile."""
    dataset = write_dataset(workspace, images=60, classes=labels)
    frame = dataset.frame.assign(image_id=[f"{labels[i % len(labels)]}{i}" for i in range(60)])
    return save_dataset(workspace, "hostile", frame, dataset.info)


@pytest.fixture
def own_shelf(monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])


def test_data(open_page, workspace):
    write_dataset(workspace, images=60, classes=HOSTILE)
    assert load_dataset(workspace, "tiny").classes == HOSTILE
    assert raw(open_page("data", dataset="tiny")) == []


def hostile_map(workspace, name: str) -> str:
    """A finished map, called `name`, of the dataset "hostile"; its id. The caller replaces embed._umap."""
    config = EmbedConfig(dataset="hostile", arm="random", input_size=32, device="cpu", neighbours=8)
    store = RunStore(workspace)
    run_id = store.create("embed", to_dict(config), name=name)
    store.transition(run_id, "queued", "running", started=1.0)
    for _ in embed.embed(config, workspace, workspace.run(run_id)):
        pass
    store.transition(run_id, "running", "done", finished=2.0)
    return run_id


@pytest.mark.slow
def test_latent(open_page, workspace, own_shelf, monkeypatch):
    monkeypatch.setattr(
        embed, "umap_layout", lambda space, start, *_: start[:, ::-1].astype(np.float32)
    )
    hostile_dataset(workspace)
    run_id = hostile_map(workspace, HOSTILE[0])
    for query in ({"image": f"{HOSTILE[0]}0"}, {"view": "traversal"}, {"view": "issues"}):
        assert raw(open_page("latent", run=run_id, **query)) == [], query


@pytest.mark.slow
@pytest.mark.parametrize(
    "section", ["overview", "differences", "classes", "calibration", "subgroups", "method"]
)
def test_compare(open_page, finished, section):
    spoil(finished, dict(zip(CLASSES, HOSTILE)))
    app = open_page("compare", section=section)
    assert "tiny" in "".join(element.value for element in (*app.markdown, *app.caption))
    assert raw(app) == []


def test_a_verdict_that_names_a_class(open_page, finished):
    path = next(finished.root.glob("runs/study-*/artefacts/study.json"))
    study = json.loads(path.read_text())
    study["verdict"]["sentences"].append(f"Fewer than 20 test groups in {FETCHED} (3).")
    study["cautions"] = [f"No image of {FETCHED} in the test split."]
    path.write_text(json.dumps(study))
    app = open_page("compare")
    assert sum("planted" in element.value for element in app.markdown) == 2
    assert raw(app) == []


def said(app) -> str:
    """All error boxes of a page."""
    return " ".join(element.value for element in app.error)


def test_an_error_that_names_a_column_of_a_file(open_page, tmp_path):
    (tmp_path / "table.csv").write_text(f"{FETCHED},age\n1,2\n")
    write_image(tmp_path / "a.png", noise(24))
    app = open_page("data")
    app.text_input[0].set_value(str(tmp_path / "table.csv"))
    app.text_input[1].set_value("mine")
    next(button for button in app.button if button.label == "Preview").click()
    app.run()
    assert "planted" in said(app) and raw(app) == []


FAILED = {
    "study": StudyConfig(dataset="tiny", arms=("random",), pretrain=None),
    "pretrain": PretrainConfig(dataset="tiny"),
    "embed": EmbedConfig(dataset="tiny", arm="random"),
    "publish": PublishConfig(dataset="tiny", run="study-1", arm="random", name="mine"),
}


def failed(workspace, kind: str, text: str = f"{FETCHED} {HOSTILE[2]}") -> str:
    """A failed run of that name and with that error; its id."""
    store = RunStore(workspace)
    run_id = store.create(kind, to_dict(FAILED[kind]), name=text)
    store.transition(run_id, "queued", "running", started=1.0)
    store.transition(run_id, "running", "failed", finished=2.0, error=f"The table has {text}.")
    return run_id


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(FAILED))
def test_what_a_failed_run_says(open_page, workspace, kind):
    run_id = failed(workspace, kind)
    app = open_page("train", run=run_id)
    assert "planted" in said(app) and raw(app) == []
    for page, shown in (
        ("latent", kind == "embed"),
        ("models", kind == "publish"),
        ("home", False),
        ("compare", False),
    ):
        app = open_page(page)
        assert ("planted" in said(app)) == shown and raw(app) == [], page


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(FAILED))
def test_what_a_run_at_work_says(open_page, workspace, working, kind):
    store = RunStore(workspace)
    run_id = store.create(kind, to_dict(FAILED[kind]), name=FETCHED)
    working(run_id)
    store.set_progress(
        run_id,
        Progress(what=f"decoding {FETCHED}", done=1, total=4, rate=1.0, unit="images"),
    )
    for page in ("train", "latent", "models"):
        assert raw(open_page(page, **({"run": run_id} if page == "train" else {}))) == [], page


def test_the_name_of_a_study_stands_on_home(open_page, finished):
    run = RunStore(finished).list(kind="study")[0]
    RunStore(finished).annotate(run.id, name=FETCHED)
    app = open_page("home")
    assert any("planted" in element.value for element in app.caption) and raw(app) == []


@pytest.mark.slow
def test_a_refused_model(open_page, workspace, own_shelf):
    folder = workspace.models / FETCHED.replace("/", "\N{FRACTION SLASH}")
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({FETCHED: HOSTILE[1]}))
    broken = put_bundle(workspace, "broken", "vae")
    (workspace.models / "broken" / "card.json").write_text(
        json.dumps({**card_json(broken), "classes": 3, FETCHED: HOSTILE[1]})
    )
    for page in ("home", "models", "classify"):
        app = open_page(page)
        assert raw(app) == [] and not any(
            "![" in element.value for element in (*app.error, *app.markdown, *app.caption)
        ), page


@pytest.mark.slow
def test_models_and_classify(open_page, workspace, own_shelf):
    for name, arm in (("a-vae", "vae"), ("b-imagenet", "imagenet")):
        put_bundle(
            workspace,
            name,
            arm,
            classes=HOSTILE,
            class_descriptions={HOSTILE[0]: HOSTILE[1]},
            limits=list(HOSTILE),
            intended_use=HOSTILE[1],
            license=HOSTILE[2],
            training_data={"dataset": HOSTILE[0], "license": HOSTILE[1]},
            commands=[HOSTILE[1]],
            metrics_note=HOSTILE[2],
        )
    assert raw(open_page("models")) == []
    assert (
        raw(
            upload(
                open_page("classify"),
                (f"{HOSTILE[1].replace('/', '')}.png", picture(0)),
                ("two.png", picture(1)),
            )
        )
        == []
    )
