"""What every page has: the navigation, its header, the notice, the machine's state, charts, emptiness.

A page is one script, read top to bottom, that starts with

    from pages.ui import frame
    workspace = frame.page("compare")

`page` sets the browser's title, writes the heading with one sentence of what the page is for, the
notice "Research use only. Not for diagnosis." and what the machine is doing, and returns the
Workspace. After that a page uses

    frame.show_chart(figure, table, caption=…, alt=…, key=…)   a chart, how to read it, its table
    frame.empty(what, action=…)                                what will be here and the way to it
    frame.linked(options, "run", …)                            a choice that is part of the address
    with frame.errors(): …                                     a DermError as one sentence
    frame.show_error(run.error)                                a sentence of the engine's, letter by letter

Pages are named by their file: "home", "classify", "train", "compare", "latent", "data", "models", "docs";
`frame.link("train", "Watch the run", run=run_id)` leads to one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from derm_core.arms import arm_style
from derm_core.config.labels import recorded_label
from derm_core.errors import DermError
from derm_core.jobs.published import PublishedRun
from derm_core.published import TAG
from derm_core.workspace import Workspace
from pages.ui import cached, scheduling, uploads, words
from pages.ui.display import (  # noqa: F401  (frame.show_chart, …)
    CHART_CONFIG,
    download,
    download_table,
    draw_export_button,
    file_name,
    readable,
    show_chart,
    show_table,
    with_camera,
)
from pages.ui.login import offer_logout, open_workspace, require_login
from pages.ui.page_guides import GUIDES

# The browser's icon, drawn here, and pages without icons: for a page's own icon Streamlit would ask a
# server on the internet at every visit.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0F6B66"/>'
    '<circle cx="13" cy="16" r="7" fill="#fff" fill-opacity=".9"/><circle cx="20" cy="16" r="7" fill="#fff" '
    'fill-opacity=".45"/></svg>'
)

PAGES = {  # file: (section, title, what one can do there)
    "home": (
        "",
        "Home",
        "Classify an image, run a comparison, or read the latest one.",
    ),
    "classify": (
        "",
        "Classify",
        "Ask two models about an image of a skin lesion and compare their answers.",
    ),
    "train": (
        "Study",
        "Train",
        "Set up a study: pretrain a VAE on skin images without labels, then compare it with ImageNet under identical "
        "conditions.",
    ),
    "compare": (
        "Study",
        "Compare",
        "Read what a finished study found: which arm is more accurate, which overfits less, and how certain that is.",
    ),
    "latent": (
        "Study",
        "Latent space",
        "Explore the features of an extractor: every dot is an image, and near dots are images that it finds similar.",
    ),
    "data": (
        "Library",
        "Data",
        "Import images, check that no patient or lesion is in two splits, and look through them.",
    ),
    "models": (
        "Library",
        "Models",
        "Look up trained models, each with its training data, metrics, limits and terms; publish, export and import "
        "them.",
    ),
    "docs": (
        "Library",
        "Documentation",
        "Look up a term, a command, a data layout or what is promised.",
    ),
}
HIDDEN = ("docs",)  # not in the menu
MESSAGE = "message"
WITHOUT_RUNS = (
    "classify",
    "data",
    "docs",
)  # pages that stand where the table of runs is damaged, busy or newer


def _pages() -> dict[str, Any]:
    return {
        name: st.Page(
            f"pages/{name}.py",
            title=title,
            help=about,
            default=name == "home",
            visibility="hidden" if name in HIDDEN else "visible",
        )
        for name, (_, title, about) in PAGES.items()
    }


def navigation() -> Any:
    """The app's menu, behind the login where one is set up. Returns the page of the address; called by app.py."""
    require_login()
    st.session_state["frame"] = True
    sections: dict[str, list] = {}
    for name, page in _pages().items():
        sections.setdefault(PAGES[name][0], []).append(page)
    return st.navigation(sections)


def page(name: str, intro: str | None = None, title: str | None = None) -> Workspace:
    """Begin the page `name`: title, intro (its own unless given), notice, state of the machine.

    When a server's very first request is a link to a page, Streamlit runs that page without app.py;
    the menu is then made here and the script starts over, this time through app.py.
    """
    scheduling.settle()
    uploads.release()
    if name != "classify":
        st.session_state.pop(
            "predictions", None
        )  # Classify's answers hold the files that its uploader just gave up
    _, own_title, about = PAGES[name]
    st.set_page_config(page_title=f"{own_title} · Lesion study", page_icon=ICON, layout="wide")
    require_login()
    if "frame" not in st.session_state:
        navigation()
        st.rerun()
    offer_logout()
    if message := st.session_state.pop(MESSAGE, None):
        st.toast(message, icon=":material/check_circle:")
    _heading(name, title or own_title)
    st.markdown(intro or about)
    try:
        workspace = open_workspace()
    except DermError as error:
        show_error(error)
        st.stop()
    try:
        _health(workspace)
    except DermError as error:  # the table of runs cannot be read
        show_error(error)
        if name not in WITHOUT_RUNS:
            st.stop()
    return workspace


def _heading(name: str, title: str) -> None:
    """The page's title, and beside it how the page is used."""
    guide = GUIDES.get(name)
    if guide is None:
        st.title(title, anchor=False)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(title, anchor=False, width="content")
        with st.popover("About this page", icon=":material/info:", type="tertiary"):
            st.markdown("\n".join(f"{place}. {step}" for place, step in enumerate(guide.steps, 1)))
            link("docs", "Documentation", icon=":material/menu_book:", document=guide.document)


def _health(workspace: Workspace) -> None:
    """One discreet line: the notice, the device, and the run that is at work, as a link to it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(f":material/science: {words.NOTICE}", width="content")
        st.caption(f":material/memory: {cached.device_name()}", width="content")
        active = cached.active_runs(workspace)
        if active:
            working = sum(run.state == "running" for run in active)
            counts = ((working, "at work"), (len(active) - working, "queued"))
            label = ", ".join(
                f"{words.count(number, 'run')} {state}" for number, state in counts if number
            )
            link("train", label, icon=":material/progress_activity:", run=active[-1].id)


def link(name: str, label: str, *, icon: str | None = None, **query: str) -> None:
    """A link to the page `name`; `query` becomes its address: run="study-…"."""
    st.page_link(f"pages/{name}.py", label=label, icon=icon, query_params=query or None)


def go(name: str, **query: str) -> None:
    """Leave for the page `name` now (after a button)."""
    st.switch_page(f"pages/{name}.py", query_params=query or None)


def empty(
    what: str,
    *,
    title: str = "Nothing here yet",
    icon: str = ":material/inbox:",
    action: str | None = None,
    page: str | None = None,
    key: str | None = None,
    primary: bool = True,
    **query: str,
) -> bool:
    """Say what will be here and offer the button that makes it so (primary unless the page has another).

    With `page` the button leads there; without, True is returned when it is pressed and the page acts.
    """
    with st.container(border=True, horizontal_alignment="left"):
        st.markdown(f"{icon} **{title}**")
        st.markdown(what)
        if action is None:
            return False
        pressed = st.button(
            action, type="primary" if primary else "secondary", key=key or f"empty-{action}"
        )
    if pressed and page is not None:
        go(page, **query)
    return pressed and page is None


def announce(message: str) -> None:
    """Show a message when a page starts the next time, say after the st.rerun that follows."""
    st.session_state[MESSAGE] = message


def show_error(sentence: object) -> None:
    """An error of the engine's, letter by letter: it may name a column, a file or a class of someone else's making."""
    st.error(words.plain(sentence), icon=":material/error:")


@contextmanager
def errors() -> Iterator[None]:
    """Show a DermError raised inside as its one sentence; anything else is a bug and passes through."""
    try:
        yield
    except DermError as error:
        show_error(error)


def published(kind: str) -> list[PublishedRun]:
    """The published studies ("study") or maps ("embed"); where they cannot be read, that is shown."""
    with errors():
        return cached.published(kind)
    return []


def say_if_missing(runs: Collection[str]) -> None:
    """Say that the address (?run=…) names none of these runs: `linked` shows another one then."""
    if st.query_params.get("run", next(iter(runs), "")) not in runs:
        st.warning(
            "The address names no finished run of this workspace: that run may have been deleted, or be someone "
            "else's. This is another one.",
            icon=":material/search_off:",
        )


def linked(
    label: str,
    options: Sequence[Any] | Mapping[Any, str],
    param: str,
    *,
    widget: Callable = st.selectbox,
    default: Any = None,
    key: str | None = None,
    always: bool = True,
    **settings: Any,
) -> Any:
    """A choice kept in the address as ?param=value, so that the page can be sent to a colleague.

    An address that names none of `options` falls back to `default`, else to the first.

    Args:
        label: of the widget.
        options: values, written into the address with `str`; a mapping also says what each is called.
        param: name in the address.
        widget: st.selectbox, st.segmented_control, st.radio or st.pills.
        default: the value without an address.
        key: of the widget.
        always: whether the default, too, is written into the address.
        settings: of the widget.
    """
    if isinstance(options, Mapping):
        settings.setdefault("format_func", dict(options).__getitem__)
    options = list(options)
    default = default if default in options else (options[0] if options else None)
    key, wanted = key or f"{param}-choice", st.query_params.get(param)
    known = {str(option): option for option in options}
    if wanted in known and (
        key not in st.session_state or st.session_state.get(f"{param}-seen") != wanted
    ):
        st.session_state[key] = known[wanted]
    elif (
        st.session_state.get(key) not in options
    ):  # gone, or its label has changed ("9 min ago") since it was sent
        st.session_state[key] = known.get(wanted or "", default)
    choice = widget(label, options, key=key, **settings)
    choice = st.session_state[key] if choice is None else choice
    if choice is not None and (always or choice != default):
        st.query_params[param] = str(choice)
    elif param in st.query_params:
        del st.query_params[param]
    st.session_state[f"{param}-seen"] = str(choice)
    return choice


def segments(
    label: str, options: Mapping[str, str], param: str, *, key: str | None = None, **settings: Any
) -> Any:
    """`linked` as a segmented control that always has a value."""
    return linked(
        label,
        options,
        param,
        widget=st.segmented_control,
        key=key,
        required=True,
        always=False,
        **settings,
    )


def run_name(workspace: Workspace, run: Any) -> str:
    """What a run is called: the name it was given, else 'Study, laptop', 'Pretraining, masked', 'Map, VAE'."""
    if run.name:
        return run.name
    config = cached.config(workspace, run.id)
    detail = {
        "study": config.get("preset"),
        "pretrain": (config.get("recipe") or {}).get("name"),
        "embed": _arm_of_map(workspace, config) if config.get("arm") else None,
        "publish": config.get("name"),
    }.get(run.kind)
    seen = (
        config
        if run.kind == "pretrain"
        else (config.get("pretrain") or {})
        if run.kind == "study"
        else {}
    )
    folds, fold = config.get("folds"), config.get("fold")
    part = (f"fold {fold} of {folds}" if fold else f"{folds} folds") if folds else None
    return ", ".join(
        filter(
            None,
            (
                words.KINDS.get(run.kind, run.kind),
                detail,
                part,
                "transductive" if seen.get("images") == "all" else None,
            ),
        )
    )


def _arm_of_map(workspace: Workspace, config: Mapping[str, Any]) -> str:
    """The arm that a map is of; a VAE after the recipe of its pretraining."""
    arm, vae_run = config["arm"], config.get("vae_run")
    own = recorded_label(cached.config(workspace, vae_run)) if arm == "vae" and vae_run else None
    return arm_style(arm, own).name


def run_label(workspace: Workspace, run: Any) -> str:
    """A run in one line, wherever one is chosen: its name, dataset, when, and the end of its id.

    Of a published result its name and that it is one.
    """
    if isinstance(run, PublishedRun):
        source = "" if run.name else f" · {run.about.dataset.name}"
        return f"{run_name(workspace, run)}{source} · {TAG}"
    dataset = cached.config(workspace, run.id).get("dataset", "")
    archived = " · archived" if run.archived else ""
    when = words.ago(run.created)
    return f"{run_name(workspace, run)} · {dataset} · {when} · {run.id[-4:]}{archived}"
