"""Asks a language model, and has it rewrite prompts."""
