"""Training: tasks, one engine, checkpoints, recipes."""
