"""Images on their way in: decode, manifest, importers, splits, store, augmentation, synthesis, audit."""
