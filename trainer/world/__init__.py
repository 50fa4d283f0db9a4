"""The painted world: scenes, their pictures at any valence and arousal, and their captions."""
