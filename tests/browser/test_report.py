"""The report in a real browser: it draws itself, asks nobody for anything, and fits a phone."""

from __future__ import annotations

import pytest

from derm_core.report.html import report_html
from derm_core.study.study_result import read_study
from tests.report.conftest import reported_home  # noqa: F401  (a fixture)

pytestmark = pytest.mark.browser


@pytest.fixture
def report(reported_home, tmp_path):
    root, run_id = reported_home
    folder = root / "runs" / run_id
    path = tmp_path / "report.html"
    path.write_text(report_html(read_study(folder / "artefacts" / "study.json"), folder, images=2))
    return path.as_uri()


def test_it_draws_its_figures_and_no_request_leaves(phone, report):
    requests, problems = [], []
    phone.on("request", lambda request: requests.append(request.url))
    phone.on("pageerror", lambda error: problems.append(str(error)))
    phone.on(
        "console",
        lambda message: (
            problems.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    phone.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    phone.goto(report)
    phone.wait_for_function(
        "document.querySelectorAll('.js-plotly-plot').length > 0 && "
        "[...document.querySelectorAll('.js-plotly-plot')].every(plot => plot.querySelector('.main-svg'))"
    )
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [
        report
    ] and problems == []
    assert phone.locator(".js-plotly-plot").count() > 15
    assert phone.locator("img").count() == 2
    assert phone.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1"
    )
