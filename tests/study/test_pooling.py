"""Studies of one protocol on several datasets are pooled, one a dataset; others are not."""

import dataclasses

import pytest

from derm_core.report.sections.pooled import pooled
from derm_core.stats.meta import random_effects
from derm_core.study.pooling import pool_studies
from derm_core.study.study_result import StudyResult, study_result
from tests.report.full_study import ARMS, example

PAIR = ("vae", "imagenet")


def study(run_id: str, dataset: str, mean: float = -0.1, **fields) -> StudyResult:
    """A study of four arms with the same difference in balanced accuracy for every pair."""
    result = study_result(example(arms=(*ARMS, "both")))
    return dataclasses.replace(
        result,
        run_id=run_id,
        dataset=dataclasses.replace(result.dataset, name=dataset, fingerprint=dataset),
        differences=tuple(
            dataclasses.replace(row, mean=mean, low=mean - 0.05, high=mean + 0.05)
            for row in result.differences
        ),
        verdict=dataclasses.replace(result.verdict, pair=PAIR),
        **fields,
    )


def test_the_primary_difference_and_both_are_pooled_over_datasets():
    first, second, third = study("a", "ham", -0.1), study("b", "pad", 0.1), study("c", "ddi", 0.02)
    result = pool_studies(first, [first, second, third])
    assert [one.dataset.name for one in result.studies] == ["ham", "pad", "ddi"]
    primary, both = result.differences
    assert primary.pair == PAIR and both.pair == ("both", "imagenet")
    assert primary.pooled == random_effects([-0.1, 0.1, 0.02], [0.025] * 3)
    # The studies have ImageNet − both: here the other way round.
    assert both.pooled == random_effects([0.1, -0.1, -0.02], [0.025] * 3)
    row = both.by_dataset["ham"]
    assert (row.mean, row.low, row.high) == pytest.approx((0.1, 0.05, 0.15))


def test_two_studies_of_one_dataset_are_not_pooled_and_this_is_said():
    first, again = study("a", "ham"), study("b", "ham", 0.2)
    result = pool_studies(first, [first, again])
    assert len(result.studies) == 1 and result.left_out == {"ham": ("b",)}
    section = pooled(first, [again])
    assert section.figure is None and any("ham" in text and "b" in text for text in section.text)


def test_of_another_dataset_the_comparison_in_folds_is_taken_and_its_folds_are_not_named():
    first, single, whole = study("a", "ham"), study("b", "pad"), study("c", "pad", 0.3)
    whole = dataclasses.replace(whole, split=dataclasses.replace(whole.split, folds=5))
    fold = dataclasses.replace(study("d", "pad"), config={**first.config, "fold": 1})
    result = pool_studies(first, [single, fold, whole])
    assert [one.run_id for one in result.studies] == ["a", "c"]
    assert result.left_out == {"pad": ("b",)}


@pytest.mark.parametrize("key", ["input_size", "regime", "backbone"])
def test_another_setting_is_another_protocol(key):
    first, second = study("a", "ham"), study("b", "pad")
    other = dataclasses.replace(second, config={**second.config, key: "another"})
    assert pool_studies(first, [other]) is None
    fewer = dataclasses.replace(second, arms={"vae": second.arms["vae"]})
    assert pool_studies(first, [fewer]) is None and pool_studies(first, [second]) is not None


def test_each_study_has_its_own_input_size_of_the_opponent():
    """Where validation chose another size, the primary test has another name, but is the same one."""
    first, second = study("a", "ham"), study("b", "pad", 0.1)
    rows = tuple(
        dataclasses.replace(row, b="imagenet@best") if row.b == "imagenet" else row
        for row in second.differences
    )
    verdict = dataclasses.replace(second.verdict, pair=("vae", "imagenet@best"))
    second = dataclasses.replace(second, differences=rows, verdict=verdict)
    result = pool_studies(first, [second])
    assert result.differences[0].pair == PAIR
    assert result.differences[0].pooled == random_effects([-0.1, 0.1], [0.025] * 2)


def test_images_under_another_name_are_the_same_dataset():
    first, copy = study("a", "ham"), study("b", "copy")
    copy = dataclasses.replace(copy, dataset=dataclasses.replace(copy.dataset, fingerprint="ham"))
    assert pool_studies(first, [copy]).left_out == {"ham": ("b",)}


def test_sets_of_one_archive_are_pooled_with_a_caution():
    section = pooled(study("a", "ham10000"), [study("b", "isic2019"), study("c", "pad")])
    assert any("ham10000 and isic2019" in text for text in section.text)
    assert not any("pad" in text for text in section.text)


def test_the_section_has_a_line_for_every_dataset_and_for_all_together():
    section = pooled(study("a", "ham"), [study("b", "pad", 0.1), study("c", "ddi", 0.02)])
    table = section.numbers()
    assert list(table["dataset"]) == ["ham", "pad", "ddi", "together"] * 2
    together = table[table["dataset"] == "together"].iloc[0]
    expected = random_effects([-0.1, 0.1, 0.02], [0.025] * 3)
    assert together["mean"] == pytest.approx(expected.together.mean)
    assert together["prediction_low"] == pytest.approx(expected.prediction[0])
    assert together["weight"] == 1 and table["weight"][:3].sum() == pytest.approx(1)
    assert len(section.figure().layout.annotations) >= 8
    assert len(section.table) == 2


def test_from_two_datasets_there_is_no_prediction_and_a_caution():
    section = pooled(study("a", "ham"), [study("b", "pad", 0.1)])
    assert section.table[0]["Next dataset, points"] == "–" and len(section.text) == 1


def test_a_study_by_itself_has_no_such_section():
    assert pooled(study("a", "ham"), []) is None


def test_another_recipe_of_the_vae_is_another_protocol():
    first, second = study("a", "ham"), study("b", "pad")
    plain = dataclasses.replace(second.arms["vae"], label="VAE (plain)")
    other = dataclasses.replace(second, arms={**second.arms, "vae": plain})
    assert pool_studies(first, [other]) is None
