"""Asking a language model, and having it rewrite prompts."""
