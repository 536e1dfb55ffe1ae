"""Published bundles and the predictor that serves them."""

from .extractor import load_extractor

__all__ = ["load_extractor"]
