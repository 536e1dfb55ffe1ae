"""Home: what this is, the machine, the shelf, the latest comparison."""

from pages.ui import frame

workspace = frame.page("home")
