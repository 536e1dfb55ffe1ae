"""Data: files of other people's predictions are compared beside the dataset that they are of."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.predictions import CLASSES, planted

pytestmark = pytest.mark.slow


def upload(app, given, names, **columns):
    frame = pd.DataFrame(given.p, columns=names).assign(image=given.ids, **columns)
    data = frame.to_csv(index=False).encode()
    app.file_uploader(key="prediction-files").set_value(
        [("a.csv", data, "text/csv"), ("../b.csv", data, "text/csv")]
    )
    app.run()
    app.button(key="compare-predictions").click().run()
    assert not app.exception, app.exception
    return app


@pytest.fixture
def given(workspace):
    return planted(workspace, images=64)


def test_uploaded_predictions_are_compared(open_page, workspace, given):
    app = upload(open_page("data"), given, CLASSES)
    assert not app.error
    models = next(table.value for table in app.table if "Model" in table.value)
    assert [row.strip() for row in models["Model"]] == ["a", "b"]


def test_numbered_classes_are_asked_for_and_can_be_named(open_page, workspace, given):
    app = upload(open_page("data"), given, [f"prob_{c}" for c in range(4)])
    assert "--classes" in app.error[0].value and not app.table
    app.text_input(key="prediction-classes-set").set_value(", ".join(CLASSES)).run()
    app.button(key="compare-predictions").click().run()
    assert not app.error and len(app.table) > 0
