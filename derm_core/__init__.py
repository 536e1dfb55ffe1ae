"""derm_core: which pretrained feature extractor serves skin-lesion diagnosis best, under identical conditions?

The engine under the app. It knows nothing of any screen; imports run downwards only. Notebooks and
scripts have

    derm_core.compare(dataset, arms=[…])                   a comparison: pandas tables, plotly figures
    derm_core.open_comparison(run_id)                      a finished one
    derm_core.load_extractor(name).features(images)        features (n, D) of any images
    derm_core.dataset_table(name)                          the images of a dataset

which load what they need when they are first asked for (`derm_core.api`).
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
API = ("compare", "open_comparison", "load_extractor", "dataset_table")


def __getattr__(name: str) -> Any:
    if name in API:
        return getattr(import_module("derm_core.api"), name)
    raise AttributeError(f"module 'derm_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *API])
