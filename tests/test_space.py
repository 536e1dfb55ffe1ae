"""What takes room in a workspace, and the limit of cached features."""

import os
import time

import pytest

from derm_core.errors import ConfigError
from derm_core.space import (
    DECODED_LIMIT_GB,
    LIMIT_GB,
    cache_limit,
    clean_features,
    decoded_limit,
    describe_use,
    space_used,
)
from tests.builders import write_dataset

HOUR = 3600


@pytest.fixture
def features(workspace):
    """Writes cached features of 100 bytes that were last used some hours ago."""
    folder = workspace.cache / "features"
    folder.mkdir(parents=True)

    def write(name: str, hours: float, *endings: str):
        for ending in endings or (".npy", ".json"):
            path = folder / f"{name}{ending}"
            path.write_bytes(bytes(50))
            os.utime(path, (time.time() - hours * HOUR,) * 2)
        return folder

    return write


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_byte_is_listed_once_the_largest_first(workspace, features):
    write_dataset(workspace, images=6)
    features("tiny--aa", 5)
    features("tiny--bb--pretrain-1", 2)
    (workspace.run("study-1").create().root / "log.txt").write_bytes(bytes(70))
    (workspace.root / "runs.db").write_bytes(bytes(30))
    uses = space_used(workspace)
    sizes = {describe_use(use): use.bytes for use in uses}
    assert sizes["features of tiny"] == 200 and sizes["run study-1"] == 70
    assert sizes["dataset tiny"] > 0 and "models" not in sizes
    assert sum(sizes.values()) == sum(
        path.stat().st_size for path in workspace.root.rglob("*") if path.is_file()
    )
    assert [use.bytes for use in uses] == sorted(sizes.values(), reverse=True)
    cached = next(use for use in uses if use.what == "features")
    assert cached.again and time.time() - cached.used == pytest.approx(2 * HOUR, abs=60)


def test_what_was_not_used_for_the_longest_goes_first_with_all_its_files(workspace, features):
    features("old--aa", 9, ".npy", ".json", ".part-cpu32-000000000-000000032.npy")
    features("middle--bb", 6)
    folder = features("new--cc--pretrain-1", 3)
    assert clean_features(workspace, 10_000) == 0
    assert clean_features(workspace, 200) == 150
    assert names(folder) == {
        "middle--bb.npy",
        "middle--bb.json",
        "new--cc--pretrain-1.npy",
        "new--cc--pretrain-1.json",
    }
    assert clean_features(workspace, 199) == 100 and len(names(folder)) == 2


def test_what_a_run_may_be_using_and_unfinished_files_stay(workspace, features):
    features("used--aa", 0.5)
    folder = features(".used--bb.npy.123.tmp", 9, "")
    assert clean_features(workspace, 0) == 0
    assert len(names(folder)) == 3


def test_an_empty_workspace_has_nothing_to_clean(workspace):
    assert space_used(workspace) == [] and clean_features(workspace, 0) == 0


def test_the_limit_can_be_set(monkeypatch):
    monkeypatch.delenv("DERM_CACHE_GB", raising=False)
    assert cache_limit() == LIMIT_GB * 1e9
    monkeypatch.setenv("DERM_CACHE_GB", "0.5")
    assert cache_limit() == 500_000_000
    monkeypatch.delenv("DERM_IMAGES_GB", raising=False)
    assert decoded_limit() == DECODED_LIMIT_GB * 1e9
    monkeypatch.setenv("DERM_IMAGES_GB", "2.5")
    assert decoded_limit() == 2_500_000_000


@pytest.mark.parametrize("given", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_of_gigabytes_is_refused(monkeypatch, given):
    monkeypatch.setenv("DERM_CACHE_GB", given)
    with pytest.raises(ConfigError, match="DERM_CACHE_GB"):
        cache_limit()
