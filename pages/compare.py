"""Compare: what a finished study says."""

from pages.ui import frame

workspace = frame.page("compare")
