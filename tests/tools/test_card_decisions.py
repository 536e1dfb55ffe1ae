"""The cards of shipped models are measured anew only where their images and labels can be had again."""

import pytest

from derm_core.config.shared import UsedMarks
from derm_core.errors import DataError
from derm_core.records import to_json
from tests.app.bundles import put_bundle
from tests.builders import write_dataset
from tools.card_decisions import refresh


def test_a_card_with_marks_is_refused_and_stays_as_it_is(workspace):
    write_dataset(workspace)
    marks = to_json(UsedMarks(sha256="0" * 64, exclusions=12))
    put_bundle(workspace, "marked", "vae", split={"fingerprint": "f", "seed": 0, "marks": marks})
    folder = workspace.models / "marked"
    before = (folder / "card.json").read_bytes()
    with pytest.raises(DataError, match=r"with 12 exclusions.*publish its study again"):
        refresh(folder, "tiny", workspace)
    assert (folder / "card.json").read_bytes() == before
