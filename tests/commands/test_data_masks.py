"""`data masks` adds the masks of a dataset's images, and says what is known of them; `data show` says it too."""

from __future__ import annotations

import json

import numpy as np

from derm_core import cli
from tests.builders import write_dataset, write_image


def run(capsys, *arguments: str, code: int = 0) -> str:
    assert cli.main([*arguments]) == code
    printed = capsys.readouterr()
    return printed.out if not code else printed.err


def test_masks_are_added_and_known_afterwards(workspace, capsys, tmp_path):
    write_dataset(workspace, images=6, size=16)
    assert "no lesion masks" in run(capsys, "data", "masks", "tiny")
    assert json.loads(run(capsys, "data", "masks", "tiny", "--json"))["masks"] == 0
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    for i in range(4):
        write_image(tmp_path / "masks" / f"i00{i}_segmentation.png", mask)
    write_image(tmp_path / "masks" / "other_segmentation.png", mask)
    value = json.loads(run(capsys, "data", "masks", "tiny", str(tmp_path / "masks"), "--json"))
    assert (value["masks"], value["images"], value["called"]) == (4, 6, "masks")
    text = run(capsys, "data", "masks", "tiny")
    assert "4 of 6 images have a lesion mask, from masks." in text and "fits no image" in text
    assert "4 of 6 images have a lesion mask" in run(capsys, "data", "show", "tiny")
    assert json.loads(run(capsys, "data", "show", "tiny", "--json"))["masks"]["masks"] == 4


def test_a_folder_without_masks_of_these_images_is_refused(workspace, capsys, tmp_path):
    write_dataset(workspace, images=6, size=16)
    write_image(tmp_path / "masks" / "other.png", np.full((16, 16), 255, np.uint8))
    assert "None of the mask files" in run(
        capsys, "data", "masks", "tiny", str(tmp_path / "masks"), code=1
    )


def test_masks_are_removed_and_their_files_stay(workspace, capsys, tmp_path):
    paths = write_dataset(workspace, images=6, size=16).paths
    assert "no lesion masks" in run(capsys, "data", "masks", "tiny", "--remove", code=1)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    file = write_image(tmp_path / "masks" / "i000.png", mask)
    run(capsys, "data", "masks", "tiny", str(tmp_path / "masks"))
    assert "or --remove" in run(capsys, "data", "masks", "tiny", str(file), "--remove", code=1)
    assert paths.lesion_masks.exists()
    value = json.loads(run(capsys, "data", "masks", "tiny", "--remove", "--json"))
    assert value == {"name": "tiny", "masks": 0}
    assert not paths.lesion_masks.exists() and not paths.mask_info.exists() and file.exists()
    assert "no lesion masks" in run(capsys, "data", "masks", "tiny")
