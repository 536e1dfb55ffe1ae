"""The benchmark's pictures of other things are many and named by source."""

import pytest

from benchmarks.insight import other_things


@pytest.mark.slow
def test_there_are_hundreds_of_pictures_by_named_sources():
    pictures = other_things(None)
    sources = {source for source, _ in pictures}
    assert (
        len(pictures) >= 200
        and {"drawn: document", "photograph: china", "photograph: flower"} <= sources
    )
    assert all(min(picture.size) >= 64 for _, picture in pictures)
