"""The section on networks: one row an arm, accuracy against size and speed, nothing where all arms share one."""

import pytest

from derm_core.arms import arm_label
from derm_core.report.sections import conditions
from derm_core.report.sections.networks import accuracy_against, networks
from derm_core.study.study_result import study_result
from tests.report.full_study import example

ARMS = ("vae", "timm:resnet18@64", "random")


@pytest.fixture
def result():
    study = example(arms=ARMS)
    for k, arm in enumerate(ARMS):
        study["arms"][arm] |= {
            "label": arm_label(arm),
            "architecture": "resnet18",
            "input_size": 64 * (k + 1),
            "parameters": 1_000_000 * (k + 1),
            "images_per_second": 100.0 * (k + 1),
            "pretrained_on": ("ham10000, without labels", "ImageNet-1k", "nothing")[k],
            "seen": ("no", "unknown", "no")[k],
        }
    return study_result(study)


def test_every_arm_has_its_network_and_whether_it_saw_the_images(result):
    section = networks(result)
    row = {line["Arm"].key: line for line in section.table}["timm:resnet18@64"]
    assert (row["Pixels"], row["Parameters"], row["Images/s"]) == ("128", "2.0 M", "200")
    assert (row["Pretrained on"], row["Saw these images"]) == ("ImageNet-1k", "Not known")
    table = section.numbers()
    assert list(table["parameters"]) == [1_000_000, 2_000_000, 3_000_000]


def test_accuracy_stands_against_parameters_and_speed(result):
    for axis, values in (("parameters", [1, 2, 3]), ("speed", [100, 200, 300])):
        section = accuracy_against(result, axis)
        figure = section.figure()
        assert [trace.x[0] for trace in figure.data] == pytest.approx(values)
        assert figure.layout.xaxis.type == "log" and "resnet18 at 64 px" in section.alt


def test_the_first_line_says_what_differs(result):
    assert (
        "the arms differ in input size (64 to 192 px), parameters (1.0 to 3.0 million)"
        in conditions(result)
    )


def test_arms_of_one_network_have_no_such_section():
    usual = study_result(example())
    assert networks(usual) is None and accuracy_against(usual, "speed") is None
