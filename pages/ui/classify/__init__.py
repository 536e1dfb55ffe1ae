"""The parts of Classify: which models, which images, which square of them; answers, their limits and their reasons."""
