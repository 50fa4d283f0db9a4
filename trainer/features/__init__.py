"""Text encoders, and the features of a data folder's prompts on disk."""
