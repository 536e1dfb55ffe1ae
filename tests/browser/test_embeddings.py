"""From a file of embeddings to an arm, its result and its map, as a new user goes; and LoRA beside it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.browser.support import (
    PAGES,
    calm,
    drawn_points,
    no_exception,
    serve,
    unfold,
    until,
    visit,
)
from tests.builders import write_dataset

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def workspace_with_images(tmp_path):
    workspace = Workspace.open(tmp_path / "home")
    return workspace, write_dataset(workspace, images=120)


@pytest.fixture
def file(workspace_with_images, tmp_path):
    """Vectors of all images, in which the class stands beside noise."""
    _, dataset = workspace_with_images
    vectors = np.random.default_rng(0).normal(size=(len(dataset), 8))
    vectors[:, :3] += 2 * np.eye(3)[dataset.labels]
    path = tmp_path / "my-vit.npz"
    np.savez(path, ids=dataset.frame["image_id"].to_numpy(str), features=vectors)
    return path


def bring_in_the_form(page, file) -> None:
    page.get_by_role("button", name="Bring embeddings").click()
    dialog = page.get_by_test_id("stDialog")
    dialog.locator("input[type=file]").set_input_files(file)
    dialog.get_by_text(file.name).wait_for()
    dialog.get_by_role("button", name="Bring embeddings").click()
    dialog.wait_for(state="detached")
    calm(page)


def keep_arms(page, *names: str) -> None:
    """Remove every arm but these from the field of arms."""
    tags = page.get_by_test_id("stMultiSelect").filter(has_text="Arms").locator("[data-tag]")
    while others := [tag for tag in tags.all() if tag.inner_text().strip() not in names]:
        others[0].get_by_role("button").click()
        calm(page)


def test_a_file_becomes_an_arm_a_result_and_a_map(page, workspace_with_images, file):
    workspace, dataset = workspace_with_images
    with serve(workspace.root) as app:
        visit(page, f"{app}/train?preset=demo&scale=0.05&data=tiny", PAGES["train"])
        bring_in_the_form(page, file)
        form = page.get_by_test_id("stMain")
        form.get_by_text("my-vit (embeddings)").first.wait_for()
        unfold(page, "All settings")
        page.get_by_role("radio", name="Fine-tuned").click()
        form.get_by_text("my-vit (embeddings) is left out", exact=False).wait_for()
        form.get_by_text("no network of these arms has one", exact=False).wait_for()
        page.get_by_role("radio", name="Frozen").click()
        form.get_by_text("is left out", exact=False).wait_for(state="detached")
        keep_arms(page, "my-vit (embeddings)", "Random initialisation")
        page.get_by_role("button", name="Launch").click()
        page.wait_for_url("**run=study-*")
        page.get_by_role("button", name="Compare", exact=True).click(timeout=180_000)
        page.get_by_role("heading", level=1, name="Compare").wait_for()
        page.get_by_text("my-vit (embeddings)").first.wait_for()
        no_exception(page)

        visit(page, f"{app}/latent", PAGES["latent"])
        extractor = page.get_by_role("combobox", name="Extractor")
        if not extractor.is_visible():
            unfold(page, "New map")
        extractor.click()
        extractor.fill("Embeddings")
        page.get_by_role("option", name=re.compile("my-vit, of tiny")).click()
        features = page.get_by_role("combobox", name="Features")
        until(lambda: features.input_value() == "The vectors as they are", "the form of embeddings")
        page.get_by_role("button", name="Make the map").click()
        page.wait_for_url("**run=embed-*")
        until(lambda: drawn_points(page) >= len(dataset), "a map of the embeddings", 180)
        no_exception(page)
    study = RunStore(workspace).list("study")[0]
    assert study.state == "done"
