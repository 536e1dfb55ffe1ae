"""`benchmarks first_minute` in a browser: a verdict without a click, a prediction with one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.first_minute import published_map
from tests.browser.conftest import CHROMIUM
from tests.browser.support import REPOSITORY

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)"
    ),
]


def test_a_new_app_shows_a_verdict_without_a_click_and_answers_after_one():
    command = [sys.executable, "-m", "benchmarks", "first_minute", "--json", "--repeats", "1"]
    command += ["--hover-images", "0"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["seconds_to_up"] > 0
    assert result["clicks_to_verdict"] == 0 and result["seconds_to_verdict"] > 0
    assert result["clicks_to_prediction"] == 1 and result["seconds_to_prediction"] > 0
    assert result["seconds_from_home_to_prediction"] > 0
    assert (result["clicks_to_map"] is None) == (published_map() is None)
