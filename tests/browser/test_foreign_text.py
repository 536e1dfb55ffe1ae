"""Labels, names and image ids that are HTML or markdown run nothing and draw nothing in a real browser."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from derm_core.insight import embed
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.app.bundles import put_bundle
from tests.app.test_foreign_text import failed, hostile_dataset, hostile_map
from tests.browser.support import PAGES, calm, no_exception, serve, unfold, visit
from tests.builders import noise, write_image

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=/planted onerror=window.ran=1>",
    "<a href=https://planted.example>in</a><script>window.ran=2</script>",
    "![x](https://planted.example/p.png) [y](javascript:window.ran=3) :red[z] $q$",
)
PLANTED = """() => [window.ran, ...[...document.querySelectorAll(
        '[src*=planted], [href*=planted], [*|href*=planted], [href^="javascript:"], .katex')]
    .map(part => part.outerHTML.slice(0, 200))].filter(Boolean)"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A workspace of hostile names.

    Classes, image ids, groups, a run's name and note, a model's card, errors of failed runs; and
    the id of its map.
    """
    workspace = Workspace.open(tmp_path_factory.mktemp("hostile") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            embed, "umap_layout", lambda space, start, *_: start[:, ::-1].astype(np.float32)
        )
        dataset = hostile_dataset(workspace, HOSTILE)
        run_id = hostile_map(workspace, HOSTILE[0])
        RunStore(workspace).annotate(run_id, note=HOSTILE[2], tags=[HOSTILE[1][:30]])
    for kind in ("embed", "publish"):
        failed(workspace, kind, HOSTILE[2])
    put_bundle(
        workspace,
        "a-vae",
        "vae",
        classes=HOSTILE,
        class_descriptions={HOSTILE[0]: f"{HOSTILE[1]} {HOSTILE[0]}"},
        limits=list(HOSTILE),
        intended_use=HOSTILE[1],
        license=HOSTILE[2],
    )
    assert set(dataset.classes) == set(HOSTILE)
    with serve(
        Path(workspace.root), DERM_IMPORT_ROOTS=str(tmp_path_factory.getbasetemp())
    ) as address:
        yield address, run_id, f"{HOSTILE[0]}0"


def test_no_page_runs_or_draws_what_a_label_says(page, hostile):
    address, run_id, image_id = hostile
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    for path, heading in PAGES.items():
        visit(page, f"{address}/{path}" + ("?dataset=hostile" if path == "data" else ""), heading)
        assert page.evaluate(PLANTED) == [], path
    page.goto(
        f"{address}/latent?{urlencode({'run': run_id, 'image': image_id})}", wait_until="commit"
    )
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis?._length > 0"
    )
    page.get_by_text(image_id).first.wait_for()
    calm(page)
    no_exception(page)
    drawn = page.evaluate("() => document.querySelector('.js-plotly-plot').textContent")
    assert "onerror" in drawn, "the legend shows the label as it is written"
    assert page.evaluate(PLANTED) == [] and said == []
    assert [
        url
        for url in asked
        if urlsplit(url).path == "/planted" or "planted" in urlsplit(url).netloc
    ] == []
    page.evaluate("text => document.body.insertAdjacentHTML('beforeend', text)", HOSTILE[0])
    assert page.evaluate(PLANTED) != [], "what stands in a page as HTML is found"


def test_an_error_fetches_nothing(page, hostile, tmp_path):
    """Of failed runs, and of an import whose file has an image's markdown for a column."""
    address, *_ = hostile
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("latent", "models"):
        visit(page, f"{address}/{path}", PAGES[path])
        page.get_by_test_id("stAlert").filter(has_text="planted.example").wait_for()
        assert page.evaluate(PLANTED) == [], path
    (tmp_path / "table.csv").write_text(f"{HOSTILE[2]},age\n1,2\n")
    write_image(tmp_path / "a.png", noise(24))
    visit(page, f"{address}/data", PAGES["data"])
    unfold(page, "Import images")
    page.get_by_role("textbox", name="Path").fill(str(tmp_path / "table.csv"))
    page.get_by_role("textbox", name="Name").fill("mine")
    page.get_by_role("button", name="Preview").click()
    page.get_by_test_id("stAlert").filter(has_text="no column that names images").wait_for()
    assert page.evaluate(PLANTED) == []
    assert [url for url in asked if "planted" in urlsplit(url).netloc] == []


def test_an_answer_of_hostile_classes_is_text(page, hostile, tmp_path):
    address, *_ = hostile
    photo = tmp_path / "[y](javascript:window.ran=4) :red[z].png"
    write_image(photo, noise(64))
    visit(page, f"{address}/classify?models=a-vae", PAGES["classify"])
    page.locator("input[type=file]").set_input_files(photo)
    page.wait_for_function("() => document.querySelector('.js-plotly-plot .annotation-text')")
    drawn = page.evaluate("() => document.querySelector('.js-plotly-plot').textContent")
    assert "<a href" in drawn, "the bars' names are shown as they are written"
    calm(page)
    no_exception(page)
    assert page.evaluate(PLANTED) == []
