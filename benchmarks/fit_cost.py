"""What fitting a network takes for each family, counted from shapes alone: python -m benchmarks.fit_cost

Nothing is computed: the training step runs on the meta device under PyTorch's FLOP counter, and what it saves for the
backward pass is added up. Seconds are a projection, at an assumed rate of a graphics card.
"""

import argparse
from dataclasses import asdict

import torch
from torch.utils.flop_counter import FlopCounterMode

from emoticrafter.encoders import EncoderFacts
from emoticrafter.fit.loss import PairLoss
from emoticrafter.fit.network import BATCH, SIZES, STEPS
from emoticrafter.network import EmotionNetwork, NetworkConfig

RATE = 200e12
"""Floating-point operations a second that are assumed: a fifth of what an H200 is sold with in bfloat16."""
PAIRS = 2000
TOKENS = 40
"""Of an ordinary prompt of the pairs with its chat template, where the encoder does not pad."""
WORDS, ADDED = 21, 37
"""Tokens of a mood's words, by Qwen's tokenizer: half of the pairs have fewer, and 99 of 100 no more than are added."""
FAMILIES = {
    # name: tokens, width, added tokens, whether it pads, billions of weights of its text encoder
    "the first miniature": (77, 128, 0, True, 0.007),
    "SDXL": (77, 2048, 0, True, 0.82),
    "Z-Image": (TOKENS, 2560, ADDED, False, 4.0),
    "Qwen-Image": (TOKENS, 3584, ADDED, False, 7.6),
    "Flux.1": (256, 4096, 0, True, 4.8),
    "Krea 2": (TOKENS, 30720, ADDED, False, 4.0),
}


def step_cost(config: NetworkConfig, tokens: int) -> tuple[float, float, int]:
    """FLOPs of a step, bytes that its forward pass keeps in float32, and weights that learn."""
    width = config.feature_width
    facts = EncoderFacts("of this table", torch.zeros(width), torch.ones(width), 1)
    with torch.device("meta"):
        network = EmotionNetwork(config, facts).train()
        features = torch.zeros(BATCH, tokens, width)
        point = torch.zeros(BATCH)
    loss = PairLoss(network, batch=BATCH, unit=torch.ones(width, device="meta")).to("meta")
    kept, seen = 0, {id(weight) for weight in network.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        if id(tensor) not in seen and not isinstance(tensor, torch.nn.Parameter):
            kept += tensor.numel() * tensor.element_size()
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss(features, features, point, point, torch.ones(BATCH, device="meta")).backward()
    learned = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    return counter.get_total_flops(), kept, learned


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.fit_cost", description=__doc__.split("\n")[0]).parse_args()
    print(f"{BATCH} pairs a step, {STEPS} steps, {PAIRS:,} pairs; {RATE / 1e12:.0f} TFLOP a second assumed.\n")
    head = ["encoder", "size", "weights", "TFLOP a step", "GB while fitting", "pairs on disk, GB"]
    print(f"| {' | '.join([*head, 'encoding, s', 'fitting, s'])} |")
    print("| --- | --- |" + " ---: |" * 6)
    for name, (tokens, width, added, padded, billions) in FAMILIES.items():
        for size, numbers in SIZES.items():
            config = NetworkConfig(
                feature_width=width,
                **asdict(numbers),
                positions=tokens + added,
                window=None,
                added_tokens=added,
                normalise=True,
                field_positions=tokens if padded else 1,
                output="free",
            )
            flops, kept, learned = step_cost(config, tokens + added)
            # weights, gradients, AdamW's two moments and the moving average, float32; then what the step keeps
            memory = 5 * 4 * learned + kept
            disk = 2 * PAIRS * width * (2 * tokens if padded else tokens + 1 + WORDS)
            # 2 FLOPs for each weight and token, two prompts a pair
            encoding = 2 * billions * 1e9 * 2 * PAIRS * tokens
            cells = [f"{learned / 1e6:.1f} M", f"{flops / 1e12:.2f}", f"{memory / 1e9:.1f}", f"{disk / 1e9:.2f}"]
            cells += [f"{encoding / RATE:.0f}", f"{flops * STEPS / RATE:.0f}"]
            print(f"| {' | '.join([name, size, *cells])} |")


if __name__ == "__main__":
    main()
