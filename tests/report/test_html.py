"""The report: one file that loads nothing, holds every section, and shows users' words as words."""

import json
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs_version

from derm_core import cli
from derm_core.arms import arm_style
from derm_core.commands.compare import stored_study
from derm_core.config import StudyConfig
from derm_core.errors import ConfigError, NotFound
from derm_core.report.files import report_files
from derm_core.report.html import PLOTLY_JS, report_html, take_shared_layout
from derm_core.report.section import cell_text
from derm_core.stats.metrics import ESTIMATORS
from derm_core.study.study_data import prepare
from derm_core.study.study_result import study_result
from tests.builders import write_dataset
from tests.report.conftest import HOSTILE, SCRIPT
from tests.study.test_evaluate import evaluated, put_on_shelf
from tests.study.trained import CONFIG
from tests.study.trained import finish as drain


class Page(HTMLParser):
    """Tags with their attributes, and the words outside scripts and styles."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.words, self.inside = [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while tag in self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.words.append(data)


@pytest.fixture(scope="module")
def made(reported_home):
    root, run_id = reported_home
    folder = root / "runs" / run_id
    study = json.loads((folder / "artefacts" / "study.json").read_text())
    text = report_html(study_result(study), folder)
    return study, text, Page(text)


@pytest.mark.slow
def test_every_section_is_there_with_its_tables(made):
    study, _, page = made
    for heading in (
        "Verdict",
        "Test metrics",
        "Gap against accuracy",
        "Learning curves",
        "The paper’s table",
        "Differences between arms",
        "Classes",
        "Fewer labels",
        "Corrupted images",
        "External test sets",
        "Calibration",
        "Method",
        "How to reproduce this",
    ):
        assert heading in page.text, heading
    assert study["verdict"]["headline"] in page.text and study["split"]["fingerprint"] in page.text
    for sentence in study["verdict"]["sentences"]:
        assert " ".join(sentence.split()) in page.text
    for package, version in study["versions"].items():
        assert (f"{package} {version}" in page.text) == (package not in ESTIMATORS)
    figures = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert len(figures) > 15 and all(attributes["aria-label"] for attributes in figures)


@pytest.mark.slow
def test_users_words_are_words(made):
    _study, text, page = made
    assert "a note & " + HOSTILE in page.text and SCRIPT in page.text and "<i>tag" in page.text
    assert not any(tag in ("img", "i") for tag, _ in page.tags)
    assert "alert(2)</script>" not in text and "<img src=x" not in text
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.S)
    assert not any("<img" in script for script in scripts[1:])  # the first is plotly itself


def test_nothing_is_loaded_from_anywhere(made):
    _, text, page = made
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "action", "data"} & set(attributes), attributes
    policy = next(
        a["content"]
        for tag, a in page.tags
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy and "http" not in policy
    assert not re.search(r"@import|url\(", text.split("<style>")[1].split("</style>")[0])


def test_it_is_small(made):
    assert len(made[1].encode()) < 2_000_000


def test_its_figures_share_what_all_their_layouts_say(made):
    lines = made[1].splitlines()
    figures, shared = (
        json.loads(next(line for line in lines if line.startswith(start))[len(start) : -1])
        for start in ("const FIGURES = ", "const LAYOUT = ")
    )
    assert shared["paper_bgcolor"] == "rgba(0,0,0,0)" and shared["xaxis"]["fixedrange"]
    for figure in figures.values():
        assert not set(shared) - {"xaxis", "yaxis"} & set(figure["layout"])
        assert not set(shared["xaxis"]) & set(figure["layout"]["xaxis"])


def test_taken_and_put_back_a_layout_is_what_it_was():
    layouts = [
        {"a": 1, "height": 10, "xaxis": {"b": 2, "title": "x"}, "yaxis": {"c": [1]}},
        {"a": 1, "height": 20, "xaxis": {"b": 2}, "yaxis": {"c": [1]}},
    ]
    figures = {str(k): {"layout": json.loads(json.dumps(one))} for k, one in enumerate(layouts)}
    shared = take_shared_layout(figures)
    assert shared == {"a": 1, "xaxis": {"b": 2}, "yaxis": {"c": [1]}}
    for figure, before in zip(figures.values(), layouts, strict=True):
        own = figure["layout"]
        axis = {**shared["xaxis"], **own["xaxis"]}
        assert {**shared, **own, "xaxis": axis} == before


def test_its_plotly_is_that_of_the_package_and_knows_every_trace(made):
    assert f"plotly.js (cartesian - minified) v{get_plotlyjs_version()}" in PLOTLY_JS.read_text(
        encoding="utf-8"
    )
    assert "MIT License" in PLOTLY_JS.with_name("LICENSE").read_text(encoding="utf-8")
    line = next(line for line in made[1].splitlines() if line.startswith("const FIGURES = "))
    figures = json.loads(line.removeprefix("const FIGURES = ").removesuffix(";"))
    kinds = {trace["type"] for figure in figures.values() for trace in figure["data"]}
    assert kinds <= {"scatter", "bar", "heatmap"}


@pytest.mark.slow
def test_images_are_shown_only_where_they_are_asked_for(made, reported):
    folder, study = reported
    page = Page(report_html(study_result(study), folder, images=3))
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 3 and all(
        source.startswith("data:image/webp;base64,") for source in sources
    )
    assert "ask its owner" in page.text
    (folder / "artefacts" / "predictions.parquet").unlink()
    with pytest.raises(NotFound, match="without images"):
        report_html(study_result(study), folder, images=3)


def test_the_printed_config_makes_the_study_again(made, tmp_path):
    study, _, page = made
    printed = json.loads(page.text[page.text.index("config.json {") + len("config.json ") :])
    assert printed == study["config"] | {key: printed[key] for key in ("pretrain", "vae_run")}
    (tmp_path / "config.json").write_text(json.dumps(printed))
    config = stored_study(tmp_path / "config.json")
    assert isinstance(config, StudyConfig) and config.label_fractions == (0.5, 1.0)
    (tmp_path / "config.json").write_text('{"kind": "embed", "dataset": "x"}')
    with pytest.raises(ConfigError, match="study"):
        stored_study(tmp_path / "config.json")


@pytest.mark.slow
def test_the_command_writes_report_and_tables(reported, tmp_path, capsys):
    folder, _ = reported
    assert (
        cli.main(
            [
                "compare",
                "report",
                folder.name,
                "--out",
                str(tmp_path / "r.html"),
                "--csv",
                str(tmp_path / "csv"),
                "--json",
            ]
        )
        == 0
    )
    files = json.loads(capsys.readouterr().out)["files"]
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>") and len(files) > 15
    assert {path.name for path in (tmp_path / "csv").iterdir()} >= {
        "predictions.csv",
        "test-metrics.csv",
        "config.json",
    }
    assert cli.main(["compare", "report", folder.name, "--images", "3"]) == 1
    assert cli.main(["compare", "report", folder.name, "--out", "/proc/none/r.html"]) == 1
    assert (
        cli.main(["compare", "--config", str(tmp_path / "csv" / "config.json"), "--arms", "random"])
        == 1
    )
    errors = capsys.readouterr().err
    assert "--out FILE" in errors and "cannot be written" in errors and "leave out --arms" in errors


def test_a_study_of_an_older_version_has_a_report_too(made, reported):
    folder, study = reported
    for key in (
        "claims",
        "detail",
        "label_efficiency",
        "robustness",
        "external",
        "labels",
        "gap_differences",
        "mcnemar",
        "matched",
    ):
        study.pop(key, None)
    study["gap_differences"] = study["matched"] = None
    assert "Test metrics" in Page(report_html(study_result(study), folder)).text


def test_cells_of_a_table_are_arms_by_name_and_numbers_with_a_true_sign():
    cells = (arm_style("imagenet"), -0.25, None, float("nan"), "a")
    assert [cell_text(cell) for cell in cells] == ["ImageNet", "−0.25", "–", "–", "a"]


@pytest.mark.slow
def test_an_evaluation_of_published_models_has_a_report_with_what_it_has(workspace):
    write_dataset(workspace)
    material = drain(prepare(CONFIG, workspace))[1]
    put_on_shelf(workspace, "one", material, 1)
    put_on_shelf(workspace, "two", material, 2)
    study, _, run = evaluated(workspace, "evaluate-1")
    page = Page(report_html(study_result(study), run.root))
    for text in (
        "Test metrics",
        "Differences between arms",
        "published models on tiny",
        "nothing was trained or chosen",
        "models evaluate one two --dataset tiny",
    ):
        assert text in page.text, text
    assert "The paper’s table" not in page.text and "Learning curves" not in page.text
    assert {"test-metrics.csv", "predictions.csv", "confusion.csv"} <= set(
        report_files(study_result(study), run.root)
    )
