"""What a network's file is to know of its text encoder: from the store's manifest, and from its features."""

import numpy as np

from emoticrafter.encoders import EncoderFacts, prompt_tokens
from emoticrafter.fit.instant import Statistics
from trainer.features.store import FeatureStore

MOST_PAIRS = 1024
BLOCK = 16


def encoder_facts(store: FeatureStore, pairs: np.ndarray, seed: int) -> EncoderFacts | None:
    """Measures the mean and the scale of each channel over the tokens of up to 1,024 pairs' prompts.

    Args:
        store: The features.
        pairs: Rows to measure, int64 [N].
        seed: Chooses the pairs.

    Returns:
        None where the store knows nothing of its encoder: SDXL's own, as `trainer.features.encoders` loads them.
    """
    facts = store.facts
    if facts is None:
        return None
    chosen = np.random.default_rng((seed, 2)).permutation(pairs)[:MOST_PAIRS]
    statistics, first = Statistics(), Statistics()
    tail = 0 if facts.padded else facts.tail  # padding takes part: that is where appended words would be
    for start in range(0, len(chosen), BLOCK):
        for number, rows in enumerate((store.neutral_rows, store.emotional_rows)):
            some = rows[chosen[start : start + BLOCK]]
            features, mask = store.features(some).float(), store.mask(some)
            statistics.add(features[prompt_tokens(features, mask, facts.head, tail)])
            if facts.head and number == 0:
                first.add(features[:, 0])
    mean, scale = statistics.solve()
    return EncoderFacts(facts.family, mean, scale, facts.head, facts.tail, first.solve()[0] if first.count else None)
