"""What `python -m trainer.evaluate` and `python -m trainer.generate` are made of."""
