"""The training loss: scaled residual learning with density weights.

Source: Dang et al., ICCV 2025, arXiv 2501.05710, equations 8-10. Shapes: B batch, T tokens, D feature width, N pairs,
R content directions.
"""

import torch
from torch import Tensor, nn


def emotion_loss(
    predicted: Tensor,
    neutral: Tensor,
    emotional: Tensor,
    density: Tensor,
    scale: float = 1.5,
    density_power: float = 1.0,
) -> Tensor:
    """Equation 10 with its weights taken from the density: `weighted_loss` with weights density^-p, not normalised.

    The paper has p = 1; the released code divides both sides by the density before the square, so there p = 2;
    p = 0 is the plain mean square.

    Args:
        predicted: The network's features, [B, T, D].
        neutral: The features of the neutral prompts, [B, T, D].
        emotional: The features of the emotional prompts, [B, T, D].
        density: The density of each pair's (V, A), positive, [B].
        scale: s, which enlarges the emotional residual.
        density_power: p.

    Returns:
        float32 scalar.

    Raises:
        ValueError: Shapes that differ, or another number of densities than pairs.
    """
    density = torch.as_tensor(density, device=predicted.device)
    if not predicted.shape == neutral.shape == emotional.shape or predicted.ndim != 3:
        raise ValueError(
            f"predicted, neutral and emotional are {list(predicted.shape)}, {list(neutral.shape)} and "
            f"{list(emotional.shape)}: expected the same [batch, tokens, width]."
        )
    if density.shape != (len(predicted),):
        raise ValueError(f"density is {list(density.shape)}: expected one number per pair, [{len(predicted)}].")
    weight = density.double().pow(-density_power).float()
    return weighted_loss(predicted, neutral, emotional, weight, scale)


def weighted_loss(
    predicted: Tensor,
    neutral: Tensor,
    emotional: Tensor,
    weight: Tensor,
    scale: float = 1.5,
    preserve: float = 0.0,
    content: Tensor | None = None,
    batch: int = 0,
    unit: Tensor | None = None,
    learned: Tensor | None = None,
) -> Tensor:
    """Equation 10: the mean over pairs of weight times squared error. Every training step computes this.

    Args:
        predicted: The network's features, [B, T, D].
        neutral: The features of the neutral prompts, [B, T, D].
        emotional: The features of the emotional prompts, [B, T, D].
        weight: Of each pair, float32 [B]: density^-p, perhaps normalised and clipped by `pair_weights`.
        scale: s of equation 9.
        preserve: Weight of the semantic-preservation term, which is not in the paper; 0 leaves it out.
        content: The directions that this term protects, [R, D], in units of `unit`.
        batch: The pairs of the whole step, where these B are a part of it; 0: they are all.
        unit, learned: As in `pair_errors`.

    Returns:
        float32 scalar.
    """
    # Each pair's mean squared distance from its target, [B].
    error = pair_errors(predicted, neutral, emotional, scale, unit, learned)
    # Semantic preservation: what the network added along directions that tell prompts' content apart, [B].
    if preserve:
        added = predicted - neutral if unit is None else (predicted - neutral) / unit
        error = error + preserve * content_error(added, content, learned)
    # Rare emotions weigh more: w(V, A) = density^-p.
    return (weight * error).sum() / (batch or len(weight))


def pair_errors(
    predicted: Tensor,
    neutral: Tensor,
    emotional: Tensor,
    scale: float,
    unit: Tensor | None = None,
    learned: Tensor | None = None,
) -> Tensor:
    """The mean square of predicted - target per pair, in float32: three times [B, T, D] -> [B].

    Args:
        predicted, neutral, emotional, scale: As in `weighted_loss`.
        unit: What an error of 1 is in each channel, [D], where channels differ in size; None: the same in all.
        learned: The tokens that the mean is over, [B, T]; None for all.
    """
    # Equation 9: the target lies beyond the emotional features, its residual enlarged by s.
    target = neutral.float() + scale * (emotional.float() - neutral.float())
    error = predicted.float() - target
    if unit is not None:
        error = error / unit
    if learned is None:
        return error.square().mean(dim=(1, 2))
    # over the channels, then over the tokens that have something to learn
    return (error.square().mean(2) * learned).sum(1) / learned.sum(1).clamp(min=1)


class PairLoss(nn.Module):
    """A network with equation 10: the part of a step that is compiled, and shared out to processes."""

    def __init__(
        self,
        network: nn.Module,
        scale: float = 1.0,
        preserve: float = 0.0,
        content: Tensor | None = None,
        batch: int = 0,
        unit: Tensor | None = None,
    ):
        """
        Args:
            network: An `EmotionNetwork`.
            scale, preserve, content, batch, unit: As in `weighted_loss`.
        """
        super().__init__()
        self.network, self.scale, self.preserve, self.batch = network, scale, preserve, batch
        self.register_buffer("content", content, persistent=False)
        self.register_buffer("unit", unit, persistent=False)

    def forward(
        self,
        neutral: Tensor,
        emotional: Tensor,
        valence: Tensor,
        arousal: Tensor,
        weight: Tensor,
        mask: Tensor | None = None,
        learned: Tensor | None = None,
    ) -> Tensor:
        """Two [B, T, D] and three [B] to these pairs' share of the loss of a whole batch, a scalar.

        Args:
            neutral, emotional, weight: As in `weighted_loss`.
            valence, arousal: Of the pairs, [B].
            mask: Tokens that count, [B, T]; None for all.
            learned: Those with something to learn, [B, T]; None for all.
        """
        neutral = neutral.float()  # half-precision features would round the residual away
        predicted = self.network(neutral, valence, arousal, mask)
        how = self.scale, self.preserve, self.content, self.batch, self.unit, learned
        return weighted_loss(predicted, neutral, emotional, weight, *how)


def content_error(residual: Tensor, content: Tensor, learned: Tensor | None = None) -> Tensor:
    """The mean square per pair of a residual's part along orthonormal directions: [B, T, D], [R, D] -> [B].

    The mean is over tokens (those that are `learned`, [B, T], if that is given) and all D elements, so that it adds to
    the loss on the same scale.
    """
    along = (residual.float() @ content.T).square().sum(2) / residual.shape[2]  # [B, T]
    if learned is None:
        return along.mean(1)
    return (along * learned).sum(1) / learned.sum(1).clamp(min=1)


def pair_weights(density: Tensor, train: Tensor, power: float, clip: float = 0.0) -> Tensor:
    """The weights density^-p of a data set, normalised to mean 1 over its training pairs.

    Args:
        density: Of each pair, positive, [N].
        train: Which pairs are trained on, bool [N].
        power: p.
        clip: The largest weight, the mean being 1 still; 0 is no limit, else at least 1.

    Returns:
        float64 [N]; a pair that is not trained on weighs at most what the heaviest trained one does.

    Raises:
        ValueError: A density is not positive.
    """
    if not (density > 0).all():
        raise ValueError("A density is not positive: expected the density of the data that the pairs are from.")
    # Through logarithms, so that a high power of a small density does not overflow.
    logarithm = -power * density.double().log()
    # The heaviest trained pair gets 1, then the mean over the trained ones does.
    weights = (logarithm - logarithm[train].max()).clamp(max=0).exp()
    weights /= weights[train].mean()
    if clip > 0:
        # Capping lowers the mean, so the cap is chosen such that restoring the mean lands on `clip`.
        weights = weights.clamp(max=_cap(weights[train], clip))
        weights /= weights[train].mean()
    return weights


def _cap(weights: Tensor, clip: float) -> float:
    """The cap under which the largest weight is `clip` times the mean of all."""
    ordered = weights.sort(descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)  # the sum without the first k
    # With the first k at the cap c, c = clip (k c + rest) / n; solved for c.
    cap = clip * rest / (len(weights) - clip * torch.arange(len(weights)))
    fits = (cap > 0) & (ordered <= cap * (1 + 1e-12))
    return cap[fits][0].item()


def effective_size(weights: Tensor) -> float:
    """The number of equally weighted pairs that the weights are worth: (sum w)^2 / sum w^2 (Kish, 1965)."""
    return float(weights.sum().square() / weights.square().sum())
