"""Train: choose, launch, watch."""

from pages.ui import frame

workspace = frame.page("train")
