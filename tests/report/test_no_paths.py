"""No path of the machine stands in what leaves it: report, tables, ZIP, report of an import."""

from __future__ import annotations

import io
import zipfile

import pytest

from derm_core.data.importers import import_dataset
from derm_core.data.manifest import load_dataset
from derm_core.report.dataset_html import dataset_html
from derm_core.report.files import archive, report_files
from derm_core.report.html import report_html
from derm_core.report.terminal import text_report
from derm_core.study.study_result import read_study
from derm_core.workspace import RunFiles
from tests.builders import noise, write_image
from tests.report.conftest import ODD_WORD


@pytest.mark.slow
def test_of_a_study(reported_home):
    root, run_id = reported_home
    assert ODD_WORD in str(root)
    folder = root / "runs" / run_id
    result = read_study(RunFiles(folder).study)
    files = report_files(result, folder)
    assert len(files) > 20
    texts = {name: data.decode("utf-8-sig") for name, data in files.items()}
    texts["report.html"] = report_html(result, folder, images=2)
    texts["terminal"] = text_report(result)
    with zipfile.ZipFile(io.BytesIO(archive(files))) as packed:
        assert packed.namelist() == list(files)
    assert [name for name, text in texts.items() if ODD_WORD in text] == []


def test_of_an_import(workspace, tmp_path):
    data = tmp_path / ODD_WORD / "clinic"
    for number in range(6):
        write_image(data / ("mel", "nv")[number % 2] / f"{number}.png", noise(16, 16, number))
    (data / "mel" / "broken.png").write_bytes(b"no image")
    (data / "nv" / "empty.png").write_bytes(b"")
    import_dataset(workspace, data, "clinic", sizes=(8,), processes=1)
    text = dataset_html(load_dataset(workspace, "clinic"))
    assert "broken.png" in text and "clinic" in text and ODD_WORD not in text
