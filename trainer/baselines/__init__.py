"""The paper's baselines, trained and used: cross attention, time embedding, textual inversion, rewriting."""
