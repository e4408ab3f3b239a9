"""Recurrent networks over padded batches, and how they begin."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def run_recurrent(
    network: nn.LSTM | nn.RNN | nn.GRU,
    x: Float[Tensor, "batch time in"],
    mask: Bool[Tensor, "batch 1 time"] | None = None,
) -> Float[Tensor, "batch time out"]:
    """The outputs of a batch-first network, zero where the mask is False.

    mask: True where real. A direction that runs backwards starts at each item's own end, not in its padding.
    """
    if mask is None:
        return network(x)[0]
    lengths = mask[:, 0].sum(dim=1).cpu()
    packed, _ = network(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])[0]


def remember_at_first(lstm: nn.LSTM) -> None:
    """Sets the forget gates' biases to 1, so that states last from the beginning (Jozefowicz et al. 2015)."""
    for name, bias in lstm.named_parameters():
        if name.startswith("bias"):
            size = lstm.hidden_size
            with torch.no_grad():
                bias[size : 2 * size] = 1.0 if name.startswith("bias_ih") else 0.0
