"""Each section holds what study.json says, and is left out where it says nothing."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from derm_core import formatting
from derm_core.arms import arm_style
from derm_core.config import PretrainConfig, StudyConfig
from derm_core.glossary import TERMS
from derm_core.report import sections
from derm_core.report.figure_style import CLEAR
from derm_core.report.sections import (
    calibration,
    classes,
    clinical,
    external,
    gaps,
    labels,
    linear_head,
    method,
    metrics,
    robustness,
    shortcut,
    side_by_side,
    subgroups,
    verdict,
)
from derm_core.report.sections.protocol import protocol
from derm_core.report.templating import WORDS
from derm_core.report.terminal import text_report
from derm_core.stats.intervals import Interval
from derm_core.stats.metrics import ESTIMATORS
from derm_core.study.protocol_record import protocol_content
from derm_core.study.shortcut import ink_alone
from derm_core.study.study_result import StudyResult, study_result
from derm_core.study.summaries import FixedProtocol
from tests.report.full_study import ARMS, FAMILIES, FRACTIONS, example

UNASKED = (
    *("claims", "label_efficiency", "robustness", "shortcut", "external", "detail"),
    "linear_head",
    "saliency_inside",
)


@pytest.fixture
def result() -> StudyResult:
    return study_result(example())


def test_every_section_has_its_own_key_and_every_figure_what_a_reader_needs(result):
    every = [*sections.all_sections(result, {}), *sections.method_sections(result)]
    assert len({section.key for section in every}) == len(every) > 25
    for section in every:
        assert bool(section.figure) == bool(section.alt) or not section.figure
        if section.figure:
            assert section.caption and section.numbers is not None
        for _, figure in section.panels():
            assert figure.layout.title.text or section.level == 3
            assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == CLEAR
        for row in section.table:
            assert list(row) == section.columns
        if section.numbers:
            assert len(section.numbers())


def test_the_terms_of_a_report_are_those_that_its_sections_name(result):
    every = [*sections.all_sections(result, {}), *sections.method_sections(result)]
    named = {TERMS[key].name for section in every for key in section.terms}
    rows = sections.terms_section(every).table
    assert {row["Term"] for row in rows} == named and TERMS["balanced-accuracy"].name in named
    assert TERMS["elbo"].name not in named, "no section speaks of it"
    gaps_alone = sections.terms_section([gaps.gap_against_accuracy(result, "loss")])
    assert [row["Term"] for row in gaps_alone.table] == ["Overfitting", "Gap", "Underfitting"]


def test_what_a_study_was_not_asked_is_left_out():
    bare = study_result({key: value for key, value in example().items() if key not in UNASKED})
    every = sections.all_sections(bare, {})
    full = sections.all_sections(study_result(example()), {})
    assert {section.key for section in every} < {section.key for section in full}
    assert labels.label_efficiency(bare) is robustness.corruptions(bare) is None
    assert external.external(bare) is calibration.calibration(bare) is None
    assert shortcut.shortcut(bare) == [] and linear_head.linear_head(bare) is None


def test_both_heads_have_their_difference_to_the_opponent_in_one_direction(result):
    first, second, third = linear_head.linear_head(result).table
    assert first["Arm"].key == "vae" and second["Arm"].key == "imagenet"
    by_head = [column for column in first if column.startswith("Difference")]
    assert [first[column][:5] for column in by_head] == ["−10.0", "−3.0\u00a0"[:5]]
    assert [second[column] for column in by_head] == ["–", "–"]
    assert third[by_head[0]].startswith("+10.0"), "imagenet − random turned round"


def test_label_efficiency_has_a_line_a_share_and_a_column_an_arm(result):
    section = labels.label_efficiency(result)
    assert len(section.table) == len(FRACTIONS)
    assert section.columns[1:] == [arm_style(arm).name for arm in ARMS]
    figure = section.figure()
    assert figure.layout.xaxis.type == "log"
    line = next(trace for trace in figure.data if trace.name == arm_style("vae").name)
    assert list(line.x) == list(FRACTIONS)
    assert any(shape.x0 == 0.3 for shape in figure.layout.shapes), "where the arms cross"


def test_the_clean_test_set_is_severity_zero(result):
    lines = [trace for trace in robustness.severities(result, "hair").figure().data if trace.name]
    assert len(lines) == 3 and all(list(trace.x) == [0, 1, 2, 3, 4, 5] for trace in lines)
    assert lines[0].y[0] == 0.5


def test_the_corruption_map_keeps_families_and_arms_apart(result):
    cells = robustness.corruptions(result).figure().data[0]
    assert list(cells.x) == [arm_style(arm).brief for arm in ARMS]
    assert len(cells.y) == len(FAMILIES)
    np.testing.assert_allclose(cells.z[1], [0.2, 0.25, 0.3])


def test_robustness_ends_with_the_mean_over_all_families(result):
    lines = [row["Corruption"] for row in robustness.all_losses(result).table]
    assert lines == ["Defocus", "JPEG", "Hair", "Mean over all"]


def test_other_sets_stand_beside_the_study_s_own(result):
    groups = [dot.group for dot in external.external_dots(result)]
    assert groups == ["tiny, test"] * 3 + ["elsewhere"] * 3
    table = external.external(result).table
    assert [row["Arm"].key for row in table] == [*ARMS, "majority"]
    assert table[-1]["Balanced accuracy"].startswith(formatting.percent(0.5))
    numbers = external.external(result).numbers()
    assert set(numbers["metric"]) == {"balanced_accuracy", "macro_auroc", "drop"}


@pytest.mark.parametrize(("at", "sensitivity"), [(0.9, 0.6), (0.93, 0.6), (0.99, 0.1)])
def test_the_operating_point_is_the_nearest_specificity(result, at, sensitivity):
    section = calibration.operating_point(result, at)
    assert section.table[0]["Sensitivity"].startswith(formatting.percent(sensitivity))


def test_curves_of_calibration_and_operating_point_have_their_arm_s_colour(result):
    for section in (calibration.calibration(result), calibration.operating_point(result)):
        lines = {trace.name: trace.line.color for trace in section.figure().data if trace.name}
        assert lines == {arm_style(arm).name: arm_style(arm).colour for arm in ARMS}


def test_small_subgroups_are_faint_and_never_hidden(result):
    [group] = result.detail.subgroups
    figure = subgroups.by_attribute(result, group).figure()
    assert all(list(trace.marker.opacity) == [1, 0.35] for trace in figure.data)


def test_a_subgroup_is_the_worst_only_where_a_test_shows_it(result):
    [group] = result.detail.subgroups
    assert group.is_worst("vae") and not group.is_worst("imagenet"), "imagenet has no lowest"
    assert "worst" in subgroups.lowest(result).table[0]["VAE (from scratch)"]
    chance = [dataclasses.replace(row, p_holm=0.2) for row in group.tests]
    other = dataclasses.replace(group, tests=tuple(chance))
    detail = dataclasses.replace(result.detail, subgroups=(other,))
    section = subgroups.lowest(dataclasses.replace(result, detail=detail))
    assert list(section.table[0].values()) == ["Sex", "f", "–", "–"]
    assert not dataclasses.replace(group, tests=()).is_worst("vae"), "as in earlier versions"


def test_the_finding_on_subgroups_speaks_of_no_more_arms_than_were_tested(result):
    [group] = result.detail.subgroups
    finding = subgroups.contrasts(result, [group]).finding
    assert "of one arm or more" in finding and "No difference to ImageNet" in finding
    alone = tuple(row for row in group.tests if row.opponent is None)
    section = subgroups.contrasts(result, [dataclasses.replace(group, tests=alone)])
    assert "No difference to" not in section.finding, "no such test was made"


def test_of_two_subgroups_the_second_is_the_worst_where_the_first_is_above(result):
    [group] = result.detail.subgroups
    two = [dataclasses.replace(row, caution=False) for row in group.values]
    better = Interval(mean=0.2, low=0.1, high=0.3)
    tests = [dataclasses.replace(row, change=better) for row in group.tests]
    swapped = dataclasses.replace(group, values=tuple(two), worst={"vae": "m"}, tests=tuple(tests))
    assert swapped.is_worst("vae")
    three = dataclasses.replace(swapped, values=(*two, dataclasses.replace(two[0], value="x")))
    assert not three.is_worst("vae"), "m itself was not tested"


def test_sensitivity_stands_beside_the_difference_to_the_opponent(result):
    section = clinical.fixed_specificity(result)
    assert len(section.table) == 2 * len(ARMS)
    by_arm = {row["Arm"].key: row for row in section.table}
    assert by_arm["vae"]["p"] == formatting.p_value(0.04) and by_arm["imagenet"]["p"] == "–"


def test_an_arm_is_useful_where_it_is_shown_above_both_defaults(result):
    benefit = result.detail.net_benefit
    assert clinical.useful_range(benefit, "vae").startswith("10–20")
    never = dataclasses.replace(benefit.arms["vae"], gain_low=(-0.1,) * 4)
    arms = benefit.arms | {"vae": never}
    assert clinical.useful_range(dataclasses.replace(benefit, arms=arms), "vae") == ""
    curves = {trace.name: list(trace.y) for trace in clinical.net_benefit(result).figure().data}
    assert curves["Treat all"] == list(benefit.treat_all)


def test_the_primary_difference_stands_first(result):
    section = metrics.differences(result, "balanced_accuracy")
    assert section.table[0]["Difference"] == "VAE − ImageNet"
    assert [row["Test"] for row in section.table].count("primary") == 1
    assert section.table[0]["p"] == formatting.p_value(0.02)
    assert section.table[1]["p"] == formatting.p_value(0.04)


def test_claims_have_their_answer(result):
    claims = next(s for s in verdict.background(result) if s and s.key == "claims")
    answers = [bullet.badge for bullet in claims.bullets]
    assert answers == ["Seen", "Not seen", "Opposite", "Not asked"]


def test_a_gap_without_intervals_is_drawn_as_a_point():
    study = example()
    del study["arms"]["vae"]["gaps_detail"]
    [first, *_] = gaps.gap_points(study_result(study), "accuracy")
    assert (first.y.mean, first.y.low) == (0.02, None)


def test_matched_gaps_that_cannot_be_compared_say_so_first():
    study = example()
    study["matched"][0] |= {"comparable": False, "reason": "Too few epochs."}
    section = gaps.matched_gaps(study_result(study))
    assert "Too few epochs." in section.finding and len(section.table) == 2


def test_recall_and_confusion_have_every_class(result):
    assert {row["Class"] for row in classes.recall(result).table} == set(result.classes)
    assert len(classes.confusion(result).table) == len(ARMS) * len(result.classes)


def test_studies_that_share_all_conditions_can_be_compared_and_others_say_what_differs(result):
    other = example()
    other["config"] |= {"input_size": 224, "finetune": {"epochs": 3}}
    other["split"]["fingerprint"] = "xyz"
    results = {"a": result, "b": study_result(other)}
    labels_ = {"a": "First", "b": "Second"}
    assert side_by_side.not_comparable({"a": result, "b": result}) == []
    assert side_by_side.not_comparable(results) == ["split", "input size"]
    rows = side_by_side.differing_settings(results, labels_)
    different = {row["Setting"]: row for row in rows}
    assert set(different) == {"test split", "input size", "finetune, epochs"}
    assert different["input size"]["Second"] == "224"
    assert different["finetune, epochs"]["First"] == "–"
    [several, _] = side_by_side.side_by_side(results, labels_)
    assert len(several.table) == 6 and len(several.numbers())


class TestShortcut:
    """The planted artefact in words: what 0 means, and the levels beside which a reliance is read."""

    @pytest.fixture
    def study(self) -> dict:
        study = example(classes=("mel", "nv", "bkl", "df"))
        strengths = study["shortcut"]["strengths"]
        study["shortcut"] |= {
            "share": 0.1,
            "reference": [ink_alone(0.1, strength) for strength in strengths],
        }
        return study

    def test_chance_the_class_share_and_the_ink_alone_stand_in_the_words(self, study):
        text = " ".join(shortcut.shortcut(study_result(study))[1].text)
        assert formatting.percent(0.25) in text and formatting.percent(0.1) in text
        assert formatting.percent(ink_alone(0.1, 0.5)) in text

    def test_the_ink_alone_stands_beside_every_arm(self, study):
        table = shortcut.shortcut(study_result(study))[2].table
        alone = [formatting.percent(ink_alone(0.1, strength)) for strength in (0, 0.5, 1)]
        assert [row["The ink alone"] for row in table] == alone

    def test_nothing_is_explained_without_results(self, study):
        study["shortcut"]["rows"] = []
        assert len(shortcut.shortcut(study_result(study))) == 1


class TestTerminal:
    def test_it_has_every_metric_of_every_arm_within_the_width(self, result):
        text = text_report(result)
        assert max(map(len, text.splitlines())) <= 120
        for metric in metrics.TEST_METRICS:
            assert formatting.QUANTITIES[metric] in text
        values = re.findall(r"40\.0 % \(|50\.0 % \(|60\.0 % \(", text)
        assert len(values) >= 2 and result.verdict.headline in text

    def test_an_evaluation_has_no_settings(self):
        study = example() | {"kind": "evaluate"}
        for arm in study["arms"].values():
            del arm["setting"], arm["gaps"], arm["gaps_detail"]
        text = text_report(study_result(study))
        assert "Settings" not in text and "published models" in text


def test_the_words_of_the_sections_are_those_that_some_section_uses():
    folder = Path(sections.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    assert set(re.findall(r'words\(\s*"([\w-]+)"', code)) == set(WORDS)


def test_unknown_groups_are_not_counted_in_conditions_and_method(result):
    unknown = dataclasses.replace(
        result, dataset=dataclasses.replace(result.dataset, groups_known=False)
    )
    for one, known in ((result, True), (unknown, False)):
        lines = " ".join(bullet.text for bullet in method.method(one).bullets)
        assert ("90 groups" in method.conditions(one)) == known
        assert ("groups unknown" in method.conditions(one)) != known
        assert ("leakage" in lines) != known and ("Groups (a patient" in lines) == known


def test_the_data_statement_names_terms_groups_and_enlarged_images(result):
    used = dataclasses.replace(
        result.dataset,
        license="CC0",
        citation="Somebody",
        group_kinds={"lesion": 115},
        enlarged=0.25,
    )
    section = method.data(dataclasses.replace(result, dataset=used))
    text = " ".join(bullet.text for bullet in section.bullets)
    for part in (
        "CC0",
        "Somebody",
        "by lesion",
        formatting.percent(0.25),
        "64 px",
        "data show tiny",
    ):
        assert part in text
    older = " ".join(bullet.text for bullet in method.data(result).bullets)
    assert "not known" not in older and "enlarged" not in older


def test_the_protocol_names_the_arms_that_validation_chooses():
    """Of a study with ImageNet at two input sizes, made of the protocol that it fixed."""
    config = StudyConfig(
        dataset="tiny",
        arms=("vae", "imagenet", "imagenet@96"),
        pretrain=PretrainConfig(dataset="tiny"),
    )
    content = protocol_content(config, "abc")
    fixed = FixedProtocol(sha256="f00", created=0.0, content=content)
    section = protocol(dataclasses.replace(study_result(example()), protocol=fixed))
    parts = {bullet.stressed.rstrip(":"): bullet.text for bullet in section.bullets}
    assert "96" in parts["Chosen arms"] and "best input size" in parts["Primary test"]
    assert "1970-01-01" in section.finding and "f00" in parts["SHA-256"]
    assert "balanced accuracy ±2 points" in parts["Margins of equivalence"]
    assert "accuracy gap ±2 points" in parts["Margins of equivalence"]


def test_the_protocol_names_the_steps_on_a_large_set():
    config = StudyConfig(dataset="tiny", arms=("vae", "imagenet"))
    for images, is_named in ((10_000, False), (100_000, True)):
        content = protocol_content(config, "abc", images=images)
        fixed = FixedProtocol(sha256="f", created=0.0, content=content)
        section = protocol(dataclasses.replace(study_result(example()), protocol=fixed))
        named = [b.text for b in section.bullets if b.stressed == "Steps of the classifiers:"]
        assert named == [content[name] for name in ("steps",) if is_named]


def test_the_protocol_calls_no_other_pair_the_primary_test():
    config = StudyConfig(dataset="tiny", arms=("bundle:mole-net", "imagenet"))
    fixed = FixedProtocol(sha256="f", created=0.0, content=protocol_content(config, "abc"))
    section = protocol(dataclasses.replace(study_result(example()), protocol=fixed))
    parts = {bullet.stressed.rstrip(":"): bullet.text for bullet in section.bullets}
    assert parts["Primary test"].startswith("none") and "mole-net" in parts["Primary test"]


def test_a_result_says_which_estimator_its_calibration_errors_are_of(result):
    new = dataclasses.replace(result, versions={**result.versions, **ESTIMATORS})
    old = dataclasses.replace(result, versions={"torch": "2"})
    for section in (metrics.arm_metrics, calibration.calibration):
        captions = section(new), section(old)
        text_new, text_old = (one.table_caption + one.caption for one in captions)
        assert "root mean square" in text_new and "mean absolute" in text_old
