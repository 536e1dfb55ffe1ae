"""Published bundles and the predictor that serves them."""
