"""Lesion masks: found beside the images, of the right image, never an image themselves, and aligned with it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derm_core.config.shared import ImageForm
from derm_core.data.decode import prepare
from derm_core.data.import_preview import preview_import
from derm_core.data.importers import import_dataset
from derm_core.data.manifest import load_dataset
from derm_core.data.mask_files import masks_at
from derm_core.data.masks import add_masks, as_seen, mask_info, read_masks
from derm_core.data.synth.dataset import make_synth
from derm_core.errors import DataError
from tests.builders import encode, noise, write_dataset, write_image

HEIGHT, WIDTH = 24, 32


def spot(row: int = 6, column: int = 8, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A mask (height, width) uint8 with a square of 8 pixels."""
    mask = np.zeros((height, width), np.uint8)
    mask[row : row + 8, column : column + 8] = 255
    return mask


def photo(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """A grey image with a dark lesion where the mask is."""
    image = noise(*mask.shape, seed, low=180)
    image[mask > 0] //= 6
    return image


@pytest.fixture
def clinic(tmp_path) -> Path:
    """Six photos of two classes with a table."""
    root = tmp_path / "clinic"
    lines = []
    for i in range(6):
        write_image(root / "images" / f"img_{i}.png", photo(spot(i, 2 * i), i))
        lines.append(f"img_{i},{('nv', 'mel')[i % 2]}")
    (root / "labels.csv").write_text("\n".join(["image_id,dx", *lines, ""]))
    return root


def write_zip(path: Path, files: dict[str, np.ndarray | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else encode(content))
    return path


def imported(workspace, root, name="clinic"):
    result = import_dataset(workspace, root, name, sizes=(8,), processes=1)
    return result, load_dataset(workspace, name)


def said(notes) -> str:
    return " ".join(notes)


@pytest.mark.parametrize(
    ("pattern", "called"),
    [
        ("segmentations.zip:img_{}_segmentation.png", "segmentations.zip"),
        ("HAM_segmentations_tschandl.zip:deep/img_{}_segmentation.png", "HAM_segmentations"),
        ("masks/img_{}.png", "masks"),
        ("ISIC_Task1_GroundTruth/img_{}_segmentation.png", "ISIC_Task1_GroundTruth"),
        ("images/img_{}_mask.png", "images"),
    ],
)
def test_masks_beside_the_images_are_theirs_and_no_images(workspace, clinic, pattern, called):
    archive, colon, name = pattern.rpartition(":")
    masks = {name.format(i): spot(i, 2 * i) for i in range(5)}
    if colon:
        write_zip(clinic / archive, masks)
    else:
        for file, mask in masks.items():
            write_image(clinic / file, mask)
    sentence = f"5 of 6 images have a lesion mask, from {called}"
    preview = preview_import(clinic)
    assert preview.images == 6 and sentence in said(preview.notes)
    assert "unpack" not in said(preview.notes)
    result, dataset = imported(workspace, clinic)
    assert (result.images, result.masks) == (6, 5) and sentence in said(result.notes)
    kept = read_masks(dataset)
    assert len(kept) == 5 and kept.of_image("img_5") is None
    for i in range(5):
        assert np.array_equal(np.asarray(kept.of_image(f"img_{i}")), spot(i, 2 * i))


def test_a_mask_lies_on_its_image_at_every_size(workspace, clinic):
    write_zip(clinic / "masks.zip", {f"img_{i}.png": spot(i, 2 * i) for i in range(6)})
    _, dataset = imported(workspace, clinic)
    masks = read_masks(dataset)
    for size in (12, 24, 48):
        form = ImageForm(size)
        for i in range(6):
            picture = Image.open(dataset.frame["path"][i]).convert("RGB")
            dark = prepare(picture, size).mean(2) < 110
            inside = as_seen(masks.of_image(f"img_{i}"), form)
            assert (dark == inside).mean() > 0.97


def test_a_mask_is_found_by_the_content_of_its_image(workspace, clinic):
    write_zip(clinic / "masks.zip", {f"img_{i}.png": spot(i, 2 * i) for i in range(6)})
    _, dataset = imported(workspace, clinic)
    masks = read_masks(dataset)
    mask = masks.of_content(dataset.frame["sha256"][3])
    assert np.array_equal(np.asarray(mask), spot(3, 6)) and masks.of_content("0" * 64) is None


def test_what_is_no_mask_of_an_image_is_left_out_and_said(workspace, clinic):
    write_zip(
        clinic / "segmentations.zip",
        {
            "img_0_segmentation.png": spot(),
            "img_1_segmentation.png": spot(height=24, width=24),  # another shape
            "img_2_segmentation.png": np.zeros((HEIGHT, WIDTH), np.uint8),
            "img_3_segmentation.png": photo(spot()),
            "img_4_segmentation.png": b"no image",
            "img_5_segmentation.png": spot(),
            "img_5_mask.png": spot(2, 2),
            "img_9_segmentation.png": spot(),
            "img_0_attribute_globules.png": spot(),
        },
    )
    result, dataset = imported(workspace, clinic)
    text = said(result.notes)
    assert "1 of 6 images has a lesion mask" in text and len(read_masks(dataset)) == 1
    for sentence in (
        "has not the shape of its image and was left out (img_1_segmentation.png)",
        "marks no pixel and was left out (img_2_segmentation.png)",
        "is no mask, which has two values, and was left out (img_3_segmentation.png)",
        "cannot be read and was left out (img_4_segmentation.png)",
        "2 mask files: each is one of several of one image",
        "fits no image, or several, and was left out (img_9_segmentation.png)",
        "shows no whole lesion by its name and was left out (img_0_attribute_globules.png)",
    ):
        assert sentence in text


def test_masks_of_other_values_and_sizes_are_read(workspace, clinic):
    large = np.asarray(Image.fromarray(spot()).resize((WIDTH * 40, HEIGHT * 40), 0))
    palette = Image.fromarray(spot() // 255).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    for i, mask in enumerate((spot() // 255, large, palette, spot() > 0)):
        write_image(clinic / "masks" / f"img_{i}.png", mask)
    _, dataset = imported(workspace, clinic)
    masks = read_masks(dataset)
    assert len(masks) == 4 and max(masks.of_image("img_1").size) < 700  # kept smaller
    for i in range(4):
        assert np.array_equal(
            as_seen(masks.of_image(f"img_{i}"), ImageForm(24)), spot()[:, 4:28] > 0
        )


def test_inverted_masks_are_doubted(workspace, clinic):
    for i in range(6):
        write_image(clinic / "masks" / f"img_{i}.png", 255 - spot(8, 12))
    result, _ = imported(workspace, clinic)
    assert "Are they inverted?" in said(result.notes)


def test_masks_are_added_to_a_dataset_that_has_none(workspace, clinic, tmp_path):
    _, dataset = imported(workspace, clinic)
    assert read_masks(dataset) is None and mask_info(dataset.paths) is None
    files = {f"img_{i}.png": spot(i, i) for i in range(6)}
    archive = write_zip(tmp_path / "elsewhere.zip", files)
    info = add_masks(dataset, masks_at(archive))
    assert (info.masks, info.called) == (6, "elsewhere.zip")
    assert load_dataset(workspace, "clinic").fingerprint == dataset.fingerprint
    # An import that finds no masks leaves them, one that does takes its own.
    assert imported(workspace, clinic)[0].masks == 6
    write_zip(clinic / "masks.zip", {"img_0.png": spot()})
    assert imported(workspace, clinic)[0].masks == 1


def test_masks_of_images_of_one_name_go_by_their_folders(workspace, tmp_path):
    for label in ("nv", "mel"):
        for i in range(3):
            shift = i + 5 * (label == "mel")
            write_image(tmp_path / "set" / label / f"{i}.png", photo(spot(shift, i), shift))
            write_image(tmp_path / "masks" / label / f"{i}.png", spot(shift, i))
    _, dataset = imported(workspace, tmp_path / "set")
    add_masks(dataset, masks_at(tmp_path / "masks"))
    masks = read_masks(dataset)
    assert len(masks) == 6
    for image_id in dataset.frame["image_id"]:
        label, number = image_id.split("/")
        expected = spot(int(number) + 5 * (label == "mel"), int(number))
        assert np.array_equal(np.asarray(masks.of_image(image_id)), expected)


def test_a_source_without_masks_of_these_images_is_refused(workspace, tmp_path):
    dataset = write_dataset(workspace, images=6, size=8)
    write_zip(tmp_path / "masks.zip", {"other.png": spot()})
    with pytest.raises(DataError, match="i000"):
        add_masks(dataset, masks_at(tmp_path / "masks.zip"))
    write_zip(tmp_path / "empty.zip", {"readme.txt": b"none"})
    with pytest.raises(DataError, match="holds no image"):
        masks_at(tmp_path / "empty.zip")
    for name, content in (("broken.zip", b"PK no archive"), ("mask.rar", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError):
            masks_at(tmp_path / name)
    with pytest.raises(DataError, match="does not exist"):
        masks_at(tmp_path / "nowhere")


def test_masks_of_an_image_that_changed_are_not_used(workspace, clinic):
    write_zip(clinic / "masks.zip", {f"img_{i}.png": spot(i, 2 * i) for i in range(6)})
    _, dataset = imported(workspace, clinic)
    frame = dataset.frame.copy()
    frame.loc[2, "sha256"] = "0" * 64
    changed = type(dataset)(dataset.name, frame, dataset.classes, dataset.info, dataset.paths)
    assert len(read_masks(changed)) == 5 and read_masks(changed).of_image("img_2") is None


def test_synthetic_images_have_the_masks_they_were_drawn_with(workspace):
    dataset = make_synth(workspace, images=6, size=32, processes=1)
    masks = read_masks(dataset)
    for image_id in dataset.frame["image_id"]:
        drawn = np.asarray(Image.open(dataset.paths.masks / f"{image_id}.png").convert("L"))
        if drawn.any():
            assert np.array_equal(np.asarray(masks.of_image(image_id)), drawn)


@pytest.mark.shared
def test_the_masks_of_ham10000_are_those_of_its_images(workspace, shared, tmp_path):
    source, root = shared / "data" / "ham10000", tmp_path / "ham"
    names = [f"ISIC_00{number}" for number in range(24306, 24314)]
    (root / "images").mkdir(parents=True)
    for name in names:
        content = (source / "images" / f"{name}.jpg").read_bytes()
        (root / "images" / f"{name}.jpg").write_bytes(content)
    table = (source / "HAM10000_metadata.csv").read_text().splitlines()
    rows = [line for line in table if any(name in line for name in names)]
    (root / "HAM10000_metadata.csv").write_text("\n".join([table[0], *rows, ""]))
    archive = (source / "segmentations.zip").read_bytes()
    (root / "segmentations.zip").write_bytes(archive)
    result, dataset = imported(workspace, root, "ham")
    assert "10,007 mask files: each fits no image" in said(result.notes)
    masks = read_masks(dataset) or pytest.fail("no masks")
    assert masks.info.masks == 8
    for image_id, path in zip(dataset.frame["image_id"], dataset.frame["path"], strict=True):
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"), float)
        inside = np.asarray(masks.of_image(image_id)) > 0
        assert inside.shape == grey.shape and 0 < inside.mean() < 1
        assert grey[inside].mean() < grey[~inside].mean()  # a lesion is darker than its skin


def test_the_mask_of_a_hostile_archive_is_not_read(workspace, clinic, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../img_0.png", encode(spot()))
    (tmp_path / "masks.zip").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="leads outside"):
        masks_at(tmp_path / "masks.zip")
