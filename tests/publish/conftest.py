"""The small classifier and the workspace of its own library that tests of bundles use."""

from tests.bundles.conftest import card, classifier, decoder, shelf  # noqa: F401
