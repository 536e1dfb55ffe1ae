"""Training: tasks, one engine, checkpoints."""
