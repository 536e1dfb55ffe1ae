import numpy as np
import pytest
import torch

from derm_core.training.batches import ImageSource, epoch_order, normaliser


@pytest.fixture
def mapped(tmp_path, images) -> np.ndarray:
    """The images as a read-only memory map, as a store gives them."""
    np.save(tmp_path / "images.npy", images)
    return np.load(tmp_path / "images.npy", mmap_mode="r")


def test_batches_are_the_chosen_rows_as_colours(mapped, images):
    rows = np.array([7, 3, 50, 11])
    positions = [np.array([2, 0]), np.array([3]), np.array([1])]
    batches = list(ImageSource(mapped, rows, "cpu").batches(positions))
    for wanted, (given, batch_bchw) in zip(positions, batches, strict=True):
        assert given.tolist() == wanted.tolist()
        expected = images[rows[wanted]].transpose(0, 3, 1, 2).astype(np.float32) / 255
        np.testing.assert_array_equal(batch_bchw.numpy(), expected)


def test_evaluation_sees_every_image_once_in_order(mapped, images):
    batches = list(ImageSource(mapped, range(10), "cpu").in_order(4))
    assert [len(b) for b in batches] == [4, 4, 2]
    np.testing.assert_allclose(
        torch.cat(batches).numpy(), images[:10].transpose(0, 3, 1, 2) / 255, atol=1e-7
    )


def test_an_epoch_sees_no_image_twice_and_leaves_out_the_rest():
    order = epoch_order(50, 12, seed=0, epoch=0)
    seen = np.concatenate(order)
    assert [len(batch) for batch in order] == [12] * 4
    assert len(np.unique(seen)) == 48


def test_fewer_images_than_a_batch_are_all_used():
    assert sorted(np.concatenate(epoch_order(5, 12, seed=0, epoch=0)).tolist()) == [0, 1, 2, 3, 4]


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {
        tuple(np.concatenate(epoch_order(24, 12, seed=s, epoch=e))) for s in (0, 1) for e in (0, 1)
    }
    assert len(orders) == 4


def test_normaliser_against_torchvision(images):
    from torchvision.transforms.functional import normalize

    x = torch.from_numpy(images[:2]).permute(0, 3, 1, 2) / 255
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    torch.testing.assert_close(normaliser(mean, std, "cpu")(x), normalize(x, list(mean), list(std)))


def resident(source: ImageSource) -> ImageSource:
    """`source` as on a GPU that its images fit into."""
    source.resident = source.gather(source.rows)
    return source


def test_resident_and_streamed_images_give_the_same_batches(mapped, images):
    rows, order = range(5, 55), epoch_order(50, 12, seed=0, epoch=0)
    streamed = list(ImageSource(mapped, rows, "cpu").batches(order))
    for other in (
        resident(ImageSource(mapped, rows, "cpu")),
        ImageSource(torch.from_numpy(images), rows, "cpu"),
    ):
        for (a, x), (b, y) in zip(streamed, other.batches(order), strict=True):
            assert torch.equal(a, b) and torch.equal(x, y)


def test_a_part_of_a_memory_map_gives_its_own_rows(mapped, images):
    positions = [np.array([2, 0])]
    ((_, given),) = ImageSource(mapped[10:40], range(30), "cpu").batches(positions)
    np.testing.assert_array_equal(
        given.numpy(), images[[12, 10]].transpose(0, 3, 1, 2).astype(np.float32) / 255
    )


@pytest.mark.gpu
def test_streamed_images_are_the_resident_ones_on_a_gpu(mapped, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    order = epoch_order(60, 12, seed=0, epoch=0)
    resident = ImageSource(mapped, range(60), "cuda:0")
    monkeypatch.setattr("derm_core.training.batches.RESIDENT_SHARE", 0.0)
    streamed = ImageSource(mapped, range(60), "cuda:0")
    assert resident.resident is not None and streamed.resident is None
    for (a, x), (b, y) in zip(resident.batches(order), streamed.batches(order), strict=True):
        assert x.device.type == "cuda" and torch.equal(a, b) and torch.equal(x, y)
