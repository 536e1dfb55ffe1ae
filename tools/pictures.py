"""Pictures of the documentation: the real app on a real demo study of synthetic images, photographed in Chromium.

    python -m tools.pictures [--workspace DIR] [--scale S]

Without a workspace that holds a finished study and map, a demo study is run first. Only generated
images appear: no image of a dataset enters the repository.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from pathlib import Path

from PIL import Image

from derm_core.config import EmbedConfig, StudyConfig, from_dict
from derm_core.data.manifest import load_dataset
from derm_core.errors import ConfigError
from derm_core.files import read_json
from derm_core.jobs import supervisor
from derm_core.jobs.store import RunStore
from derm_core.study.presets import preset
from derm_core.workspace import Workspace
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.support import calm, serve

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
LIMIT_BYTES = 1_500_000
WIDTH, HEIGHT = 1280, 940


def demo_study(workspace: Workspace, scale: float) -> str:
    """A finished demo study of this workspace, made where there is none; returns its id."""
    for run in RunStore(workspace).list(kind="study", state="done"):
        return run.id
    run_id = supervisor.submit(workspace, preset("demo", scale=scale))
    supervisor.wait(workspace, run_id)
    return run_id


def demo_map(workspace: Workspace, study_id: str) -> str:
    """A finished map of the study's VAE, made where there is none."""
    for run in RunStore(workspace).list(kind="embed", state="done"):
        return run.id
    study = from_dict(read_json(workspace.run(study_id).config))
    if not isinstance(study, StudyConfig):
        raise ConfigError(f"{study_id} is no study.")
    run_id = supervisor.submit(
        workspace,
        EmbedConfig(
            dataset=study.dataset,
            arm="vae",
            vae_run=study.vae_run,
            backbone=study.backbone,
            input_size=study.input_size,
            split_seed=study.split_seed,
            splits=study.splits,
            max_images=study.max_images,
            draw=study.draw,
        ),
    )
    supervisor.wait(workspace, run_id)
    return run_id


def chosen_image(workspace: Workspace, map_id: str) -> str:
    """The first image of a map's dataset."""
    name = read_json(workspace.run(map_id).config)["dataset"]
    return str(load_dataset(workspace, name).frame["image_id"].iloc[0])


def shoot(browser, address: str, name: str, path: str, *, settle: float = 5.0) -> None:
    """One picture, as WEBP, once the page has come to rest."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    tab = context.new_page()
    tab.goto(f"{address}/{path}")
    tab.get_by_role("heading", level=1).first.wait_for(timeout=60_000)
    tab.set_default_timeout(90_000)
    calm(tab)
    time.sleep(settle)
    calm(tab)
    with Image.open(io.BytesIO(tab.screenshot())) as picture:
        picture.convert("RGB").save(FOLDER / f"{name}.webp", "WEBP", quality=82, method=6)
    context.close()


def main() -> int:
    """Take every picture; returns 1 where they are too large in all, or Chromium is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", help="default: $DERM_HOME, else ./workspace")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the demo study, where one must be made"
    )
    options = parser.parse_args()
    if CHROMIUM is None:
        print(
            "Chromium is needed for the pictures (Debian: apt-get install chromium).",
            file=sys.stderr,
        )
        return 1
    from playwright.sync_api import sync_playwright

    workspace = Workspace.open(options.workspace)
    os.environ["DERM_HOME"] = str(workspace.root)
    study = demo_study(workspace, options.scale)
    map_id = demo_map(workspace, study)
    FOLDER.mkdir(exist_ok=True)
    with serve(workspace.root) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        shoot(browser, address, "home", "")
        shoot(browser, address, "classify", "classify?from=samples&sample=3", settle=12)
        shoot(browser, address, "train", f"train?run={study}")
        shoot(browser, address, "compare", f"compare?run={study}")
        shoot(
            browser,
            address,
            "latent",
            f"latent?run={map_id}&image={chosen_image(workspace, map_id)}",
        )
        browser.close()
    total = sum(path.stat().st_size for path in FOLDER.glob("*.webp"))
    print(f"{len(list(FOLDER.glob('*.webp')))} pictures, {total / 1e6:.2f} MB")
    return 0 if total <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
