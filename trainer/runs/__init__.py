"""A training run: its settings, data, checkpoints, validation and report."""
