"""The identical two-layer classifiers of a study, trained in one batch."""
