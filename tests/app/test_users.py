"""Two users of a shared server on the same pages: each sees their own runs, datasets, models and maps, no others."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest
import streamlit as st

from derm_core.bundles import sample_images
from derm_core.config import PretrainConfig, to_dict
from derm_core.errors import ConfigError, NotFound
from derm_core.files import write_json
from derm_core.jobs.store import RunStore
from derm_core.users import user_workspace
from pages.ui import cached, cached_models, login, uploads
from tests.app.bundles import put_bundle
from tests.builders import write_dataset

REPOSITORY = Path(__file__).resolve().parents[2]
ANNA = {"is_logged_in": True, "iss": "i", "sub": "1", "email": "anna@example.org", "iat": 1}
BEN = {"is_logged_in": True, "iss": "i", "sub": "2", "email": "ben@example.org", "iat": 1}
# Of caches that hold nothing of a workspace: the machine's facts, documents and shipped studies.
OF_NO_WORKSPACE = {"machine", "imagenet_status", "titles", "document"}
PAGES = ("home", "train", "data", "compare", "latent", "models", "classify")
KEYS = {"root", "path", "folder", "key"}  # parameters that name a workspace or one of its files


@pytest.fixture
def as_user(workspace, monkeypatch):
    """as_user(claims): whoever opens a page from now on; returns their workspace."""
    monkeypatch.setattr(login, "NEEDED", ())
    monkeypatch.setattr(login, "_ended", set())
    monkeypatch.setattr(st, "secrets", {"auth": {"client_id": "x"}})

    def become(claims: dict):
        monkeypatch.setattr(st, "user", dict(claims))
        return user_workspace(workspace, claims)

    return become


@pytest.fixture
def anna(as_user):
    return as_user(ANNA)


@pytest.fixture
def ben(as_user):
    return as_user(BEN)


def everything(app) -> str:
    """All that a page shows, as one text."""
    tables = [table.value.to_csv() for table in (*app.dataframe, *app.table)]
    choices = [str(box.options) for kind in ("selectbox", "button_group") for box in app.get(kind)]
    shown = (*app.markdown, *app.caption, *app.error, *app.warning, *app.info, *app.subheader)
    return "\n".join([*(str(element.value) for element in shown), *tables, *choices])


def queued(workspace, name: str) -> str:
    return RunStore(workspace).create("pretrain", to_dict(PretrainConfig(dataset="synth")), name)


@pytest.mark.slow
def test_each_page_shows_what_is_the_users_own_and_what_is_shared(
    open_page, workspace, anna, ben, as_user
):
    write_dataset(workspace, "common", images=12)
    write_dataset(anna, "of-anna", images=12)
    write_dataset(ben, "of-ben", images=12)
    queued(anna, "annas run")
    queued(ben, "bens run")
    for claims, own, other in ((ANNA, "anna", "ben"), (BEN, "ben", "anna")):
        as_user(claims)
        for page in PAGES if claims is BEN else ("train", "data"):
            text = everything(open_page(page))
            assert other not in text.lower(), (own, page)
            if page in ("home", "data"):
                assert f"of-{own}" in text and "common" in text
            if page == "train":
                assert f"{own}s run" in text


def test_a_link_to_another_users_run_says_that_there_is_none(open_page, anna, ben, as_user):
    run_id = queued(anna, "annas secret")
    as_user(BEN)
    train = open_page("train", run=run_id)
    assert ["no run of that name" in one.value for one in train.warning] == [True]
    assert "secret" not in everything(train)
    as_user(ANNA)
    assert "secret" in everything(open_page("train", run=run_id))


@pytest.mark.slow
def test_a_link_to_a_study_that_is_not_here_is_not_silently_another_one(open_page, finished):
    own = RunStore(finished).list(kind="study")[0].id
    for run_id, shown in (("study-20260101-000000-abcd", [True]), (own, [])):
        app = open_page("compare", run=run_id)
        assert ["names no finished run" in one.value for one in app.warning] == shown


def test_a_shared_dataset_cannot_be_deleted_or_given_priorities(open_page, workspace, anna):
    write_dataset(workspace, "common", images=12)
    write_dataset(anna, "mine", images=12)
    buttons = {
        name: {button.label: button.disabled for button in open_page("data", dataset=name).button}
        for name in ("common", "mine")
    }
    assert "Delete" not in buttons["common"] and "Delete" in buttons["mine"]
    assert buttons["common"]["Save priorities"] and not buttons["mine"]["Save priorities"]


def test_without_folders_of_its_own_the_server_offers_no_import_from_its_disk(
    open_page, anna, monkeypatch
):
    monkeypatch.setenv("DERM_IMPORT_ROOTS", "")
    app = open_page("data")
    assert not app.text_input and not app.checkbox and "DERM_IMPORT_ROOTS" in everything(app)


def test_a_login_without_a_name_opens_nothing(open_page, workspace, as_user, monkeypatch):
    as_user(ANNA)
    monkeypatch.setattr(st, "user", {"is_logged_in": True})
    app = open_page("train")
    assert "does not say who you are" in app.error[0].value
    assert [button.label for button in app.button] == ["Log out"]
    assert len(list((workspace.root / "users").iterdir())) == 1


def test_a_log_out_ends_the_login_in_all_its_tabs_and_drops_what_they_hold(open_page, anna):
    tab, other = open_page("train"), open_page("data")
    for one in (tab, other):
        one.session_state["predictions"] = {"photo": "of a patient"}
    next(button for button in tab.sidebar.button if button.label == "Log out").click()
    for one in (tab, other):
        one.run()
        assert [button.label for button in one.button] == ["Log in"] and not one.exception
        assert "predictions" not in one.session_state
    st.user["iat"] = 2  # a new login of the same user
    assert "Log in" not in [button.label for button in open_page("train").button]


def test_secrets_that_cannot_be_read_close_the_app(open_page, tmp_path, monkeypatch):
    """Streamlit takes them for no secrets at all, and the server's workspace would be everyone's."""

    class Broken:
        def __contains__(self, key):
            raise FileNotFoundError("Error parsing secrets file")

    monkeypatch.setattr(st, "secrets", Broken())
    monkeypatch.setattr(st, "get_option", lambda name: [str(tmp_path / "secrets.toml")])
    assert login.login_configured() is False
    (tmp_path / "secrets.toml").write_text("[auth\n")
    with pytest.raises(ConfigError):
        login.login_configured()
    monkeypatch.undo()


def test_a_page_of_a_server_with_broken_secrets_shows_why_and_nothing_else(open_page, monkeypatch):
    def broken() -> bool:
        raise ConfigError("secrets.toml cannot be read")

    monkeypatch.setattr(login, "login_configured", broken)
    app = open_page("data")
    assert [one.value for one in app.error] == ["secrets.toml cannot be read"]
    assert not app.button and not app.text_input and not app.markdown


# ---- what pages hold in memory ------------------------------------------------------------------


def is_cache(decorator: ast.expr) -> bool:
    return any(
        name in ast.unparse(decorator) for name in ("cache_data", "cache_resource", "lru_cache")
    ) or ast.unparse(decorator) in ("cache", "functools.cache")


def test_every_cache_of_the_pages_is_keyed_by_a_workspace_or_a_file():
    """`_name`: an argument that Streamlit leaves out of the key."""
    checked = set()
    for path in (REPOSITORY / "pages").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or not any(map(is_cache, node.decorator_list)):
                continue
            hashed = {argument.arg for argument in node.args.args if argument.arg[0] != "_"}
            assert node.name in OF_NO_WORKSPACE or hashed & KEYS, f"{path.name}: {node.name}"
            checked.add(node.name)
    assert checked >= OF_NO_WORKSPACE | {
        "_audit",
        "_dataset",
        "_samples",
        "_thumbnail",
        "_built_once",
    }


def test_keys_of_what_is_built_once_name_a_workspace_or_a_published_result():
    named = ("workspace.root", "first.version", "about.created")  # version: cached.map_version
    checked = 0
    for path in (REPOSITORY / "pages").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        assigned = [
            ast.unparse(node.value)
            for node in nodes
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "key"
        ]
        for node in nodes:
            if not isinstance(node, ast.Call) or "built_once" not in ast.unparse(node.func):
                continue
            if ast.unparse(node.func) == "_built_once":
                continue
            key = ast.unparse(node.args[0])
            keys = assigned if re.search(r"\bkey\b", key) else [key]
            assert keys and all(any(part in one for part in named) for one in keys), (path, keys)
            checked += 1
    assert checked >= 6


def alike(anna, ben) -> None:
    """Give both workspaces files of the same names and times, and different content."""
    for home, colour in ((anna, 1), (ben, 2)):
        write_dataset(
            home, "moles", images=12, seed=colour, classes=[f"{home.root.name}-{i}" for i in "abc"]
        )
        write_json(home.root / "runs" / "r" / "config.json", {"owner": home.root.name})
        put_bundle(home, "model", "vae", classes=(home.root.name, "mel"))
    for path in sorted(anna.root.rglob("*")):
        twin = ben.root / path.relative_to(anna.root)
        if path.is_file() and twin.exists():
            os.utime(path, ns=(1, 1))
            os.utime(twin, ns=(1, 1))


@pytest.mark.slow
def test_no_cache_gives_one_user_what_is_anothers(workspace, anna, ben):
    """Asked in turn for what has the same names, times and sizes."""
    st.cache_data.clear()
    st.cache_resource.clear()
    alike(anna, ben)
    questions = {
        "dataset": lambda w: cached.dataset(w, "moles").classes[0],
        "facts": lambda w: next(iter(cached.facts(w, "moles").class_counts)),
        "audit": lambda w: next(iter(cached.audit(w, "moles").splits["train"].classes)),
        "store": lambda w: cached.store(w, "moles", 32).images.filename,
        "config": lambda w: cached.config(w, "r")["owner"],
        "cards": lambda w: next(card.classes for card in cached.cards(w) if card.name == "model")[
            0
        ],
        "bundles": lambda w: str(cached.bundles(w)[-1].folder),
        "predictor": lambda w: cached_models.predictor(w, "model").classes[0],
    }
    for _ in range(2):
        for name, question in questions.items():
            for home in (anna, ben):
                assert home.root.name in str(question(home)), name
    with pytest.raises(NotFound):
        cached.dataset(user_workspace(workspace, {"iss": "i", "sub": "3"}), "moles")


def test_samples_are_kept_for_each_workspace(anna, ben, monkeypatch):
    st.cache_data.clear()
    monkeypatch.setattr(
        sample_images, "sample_images", lambda workspace, n, seed: [(workspace.root.name, b"", "")]
    )
    for home in (anna, ben, anna):
        assert cached_models.samples(home, 1, 0)[0][0] == home.root.name


def test_files_of_a_session_are_dropped_with_it(monkeypatch):
    gone = []

    class Files:
        def remove_session_files(self, session_id):
            gone.append(session_id)

    class Context:
        session_id, uploaded_file_mgr = "s", Files()

    monkeypatch.setattr(uploads, "get_script_run_ctx", Context)
    uploads.drop()
    assert gone == ["s"]
