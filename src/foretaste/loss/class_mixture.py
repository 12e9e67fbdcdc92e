"""Mixtures of several classifiers' predictions, from condensed outputs, without another forward pass.

With p_m the probabilities of model m and alpha_m its weight, for every label (in a sequence: for every label token,
given the tokens before it)::

    p_alpha(y | x) = sum_m alpha_m p_m(y | x)
    loss           = -log p_alpha(label | x)
    prediction     = argmax_y p_alpha(y | x)

Log-probabilities are condensed to float32, so a mixture's loss is off by at most 2^-24 (6e-8) times the largest loss of
its models. Of up to 128 classes, all are condensed. Of more, such as a vocabulary, only the 8 likeliest classes of each
model are, with every model's log-probabilities of them. Another class is the mixture's likeliest only where its
probability, and so that of every class, is at most 1/9.

References:
    Belenki et al.: Optimizing Pre-Training Data Mixtures with Mixtures of Data Expert Models, 2025,
    https://arxiv.org/abs/2502.15950
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from foretaste.loss.class_labels import find_counted, losses
from foretaste.params import wide

__all__ = ["condense_classes", "mix_classes"]

_ALL = 128  # up to so many classes, all are condensed
_TOP = 8
_CHUNK = 2**22  # numbers in memory at once


def condense_classes(outputs: Iterable[Tensor], labels: Tensor) -> dict[str, Tensor]:
    """Condense the outputs of several models to log-probabilities of labels and classes.

    Args:
        outputs: Logits of M models, `[B, C]` or `[B, S, C]` each; they are read one after the other.
        labels: `[B]` or `[B, S]`, of which P count.

    Returns:
        ``right``, `[M, P]`: the log-probabilities of the labels. ``told``, `[M, P, K]`: those of K classes.
        ``classes``, `[P, K]`: the numbers of these classes, in rising order; left out where all classes are there.

    Raises:
        TaskError: Logits do not fit the labels.

    >>> {
    ...     name: list(t.shape)
    ...     for name, t in condense_classes([torch.zeros(2, 3), torch.zeros(2, 3)], torch.tensor([0, -100])).items()
    ... }
    {'right': [2, 1], 'told': [2, 1, 3]}
    """
    pairs = [_log_probabilities(logits, labels) for logits in outputs]
    right = torch.stack([own for own, _ in pairs]).float().cpu()
    if pairs[0][1].shape[-1] <= _ALL:
        return {"right": right, "told": torch.stack([every for _, every in pairs]).float().cpu()}
    classes = torch.cat([every.topk(_TOP, -1).indices for _, every in pairs], -1).sort(-1).values
    log_shares = torch.stack([every.gather(-1, classes) for _, every in pairs]).float().cpu()
    return {"right": right, "told": log_shares, "classes": classes.int().cpu()}


def _log_probabilities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of the labels that count, `[P]`, and of all classes there, `[P, C]`."""
    label_losses, counted = losses(logits, labels), find_counted(labels)
    return -label_losses[counted.reshape(label_losses.shape)], nn.functional.log_softmax(wide(logits[counted]), -1)


def mix_classes(condensed: Mapping[str, Tensor], shares: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the losses and likeliest classes of any number of mixtures at once.

    Args:
        condensed: The tensors of `condense_classes`.
        shares: `[A, M]`, each row at least 0 with sum 1.

    Returns:
        `[A, P]` losses in float64, and `[A, P]` classes.

    >>> logs = torch.tensor([[[0.9, 0.1]], [[0.2, 0.8]]]).log()
    >>> losses, predicted = mix_classes(
    ...     {"right": logs[:, :, 1], "told": logs}, torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    ... )
    >>> (-losses).exp().flatten(), predicted.flatten()
    (tensor([0.1000, 0.4500, 0.8000], dtype=torch.float64), tensor([0, 0, 1]))
    """
    weights, right = shares.double(), condensed["right"].double()
    mixed_losses = [-torch.logsumexp(right[row > 0] + row[row > 0].log().unsqueeze(1), 0) for row in weights]
    return torch.stack(mixed_losses).clamp(min=0.0), _likeliest(weights, condensed["told"], condensed.get("classes"))


def _likeliest(weights: Tensor, log_shares: Tensor, classes: Tensor | None) -> Tensor:
    models, places, width = log_shares.shape
    step = max(1, _CHUNK // ((len(weights) + models) * width))
    parts = []
    for start in range(0, max(places, 1), step):
        chances = log_shares[:, start : start + step].double().exp()
        best = (weights @ chances.flatten(1)).reshape(len(weights), chances.shape[1], width).argmax(-1)
        parts.append(best if classes is None else classes[start : start + step].gather(1, best.T).T.long())
    return torch.cat(parts, 1)
