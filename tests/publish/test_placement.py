"""A bundle comes to the library whole and checked, or not at all, whatever ends its writing."""

import errno
import os

import pytest

from derm_core import files
from derm_core.bundles.model_library import verify_bundle
from derm_core.errors import DermError
from derm_core.publish.placement import place
from tests.bundles.cards import save_bundle


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not be written")]
)
@pytest.mark.parametrize("at", [1, 2])  # the tensors, the card
def test_a_failed_write_leaves_the_shelf_as_it_was_and_publishing_can_be_repeated(
    tmp_path, classifier, card, monkeypatch, at, number, said
):
    target, written, real = tmp_path / card["name"], [], os.fsync

    def full(descriptor):
        written.append(descriptor)
        if len(written) == at:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    with monkeypatch.context() as patch, pytest.raises(DermError, match=said):
        patch.setattr(files.os, "fsync", full)
        place(target, lambda folder: save_bundle(folder, classifier, card))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f".{card['name']}.partial" / card["name"]).mkdir(
        parents=True
    )  # as a kill leaves it
    place(target, lambda folder: save_bundle(folder, classifier, card))
    assert verify_bundle(target).name == card["name"] and [
        path.name for path in tmp_path.iterdir()
    ] == [card["name"]]
