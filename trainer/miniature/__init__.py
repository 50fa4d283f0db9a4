"""The miniature: a small picture world whose valence and arousal are known, for trying and measuring."""
