"""Synthetic dermoscopy-like images with known factors and lesion masks."""
