"""The report in a real browser: it draws itself, asks nobody for anything, and fits phone, screen and paper."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from derm_core.report.html import report_html
from derm_core.study.study_result import read_study
from tests.browser.support import REPOSITORY
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


WIDTHS = """() => [...document.querySelectorAll('.js-plotly-plot')].map(box => [box.id,
    ...[box, ...box.querySelectorAll('.main-svg')].map(one => one.getBoundingClientRect().width)])"""
SHEET = 182 / 25.4 * 96  # pixels between the margins of A4


def misfits(widths: list[list]) -> list[list]:
    """The figures that are wider than their box, or leave more than a pixel of it empty."""
    assert len(widths) > 15
    return [row for row in widths if not all(-1 <= one - row[1] <= 0.01 for one in row[2:])]


def test_every_figure_fits_its_box_on_screens_and_paper(page, report):
    page.goto(report)
    for width in (1600, 400, 1100):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_function(f"({WIDTHS})().every(row => row.length > 2)")
        page.wait_for_timeout(500)
        assert misfits(page.evaluate(WIDTHS)) == [], width
    page.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = ({WIDTHS})(); }})")
    page.pdf(format="A4")
    printed = page.evaluate("window.printed")
    assert misfits(printed) == [] and max(row[1] for row in printed) < SHEET
    page.emulate_media(media="print")
    page.wait_for_timeout(500)
    on_paper = page.evaluate(WIDTHS)
    assert misfits(on_paper) == []
    assert [row[:2] for row in on_paper] == [row[:2] for row in printed]  # as wide as paper has it
    reach = """() => Math.max(...[...document.querySelectorAll('table, pre')].map(
        part => part.getBoundingClientRect().right)) - document.querySelector('main').getBoundingClientRect().right"""
    assert page.evaluate(reach) < 1


PANELS = 9  # more than a page of A4 holds
PANEL = """<figure><h3>Panel {number}</h3><div style="height: 300px; position: relative">
    <span style="position: absolute; bottom: 0">End {number}</span></div></figure>"""


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext (poppler-utils)")
def test_no_figure_is_cut_across_two_pages_and_a_heading_stays_with_its_first_one(page, tmp_path):
    style = (REPOSITORY / "derm_core/report/templates/report.css").read_text()
    panels = "".join(PANEL.format(number=number) for number in range(PANELS))
    filler = "<p>Text.</p>" * 18  # the heading would be near the end of the first page
    body = f'{filler}<h2>Curves</h2><div class="grid">{panels}</div><p class="soft">A caption.</p>'
    page.set_content(f"<style>{style}</style><main>{body}</main>")
    page.pdf(format="A4", path=tmp_path / "report.pdf")
    command = ["pdftotext", "-layout", tmp_path / "report.pdf", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sheets = [sheet for sheet in text.split("\f") if sheet.strip()]
    assert len(sheets) > 1
    for number in range(PANELS):
        ends = {f"Panel {number}", f"End {number}"}
        assert any(all(end in sheet for end in ends) for sheet in sheets), number
    assert any("Curves" in sheet and "Panel 0" in sheet for sheet in sheets)
