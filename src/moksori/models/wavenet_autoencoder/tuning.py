"""The decoder's last layers, tuned to one singer: what a vector alone cannot say of a voice (specification C8).

The layers below, the conditions and the encoder stay, so a tuned voice is the model with some of D's numbers replaced.
"""

import copy
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.nn.wavenet_network import WaveNet

LEARNING_RATE = 1e-4
"""Ten times the specification's, with which 50 steps of four layers gained 0.001 bits a sample of what was held back of
64 s of a stranger; 0.006 with this, 0.023 with ten times more, in a `compact` of 500 steps, which any step makes
better."""


def tuned_parameters(network: WaveNet, layers: int) -> dict[str, nn.Parameter]:
    """Of the last `layers` layers and of the head, by their names in the network.

    Raises ValueError for more layers than there are, and for none.
    """
    stack = network.stack
    if not 1 <= layers <= stack.num_layers:
        raise ValueError(f"{layers} layers to tune: the decoder has {stack.num_layers}")
    places = range(stack.num_layers - layers, stack.num_layers)
    parts = [f"stack.{kind}.{place}." for kind in ("gates", "residual_skips") for place in places]
    begins = (*parts, "head_in.", "head_out.")
    return {name: parameter for name, parameter in network.named_parameters() if name.startswith(begins)}


def tuned_network(network: WaveNet, tuned: Mapping[str, Tensor]) -> WaveNet:
    """The network with these of its numbers replaced; itself where there are none.

    Raises ValueError for a name or a shape that it has not.
    """
    if not tuned:
        return network
    own = dict(network.named_parameters())
    for name, value in tuned.items():
        if name not in own or own[name].shape != value.shape:
            there = f"of the shape {list(own[name].shape)}" if name in own else "not there"
            raise ValueError(f"tuned {name!r} of the shape {list(value.shape)}: in this decoder it is {there}")
    changed = copy.deepcopy(network)
    parameters = dict(changed.named_parameters())
    with torch.no_grad():
        for name, value in tuned.items():
            parameters[name].copy_(value.to(parameters[name]))
    return changed


def tune(
    network: WaveNet,
    layers: int,
    steps: int,
    nats: Callable[[WaveNet], Float[Tensor, ""]],
    learning_rate: float = LEARNING_RATE,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Tensor]:
    """Numbers of the last layers that cost a singer's recordings less; the network itself stays as it is.

    nats: what recordings cost with a network, of other crops at each call. progress: is told steps.
    """
    changed = copy.deepcopy(network).requires_grad_(False)
    parameters = tuned_parameters(changed, layers)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters.values(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    with torch.enable_grad():
        for step in range(steps):
            optimizer.zero_grad()
            nats(changed).backward()
            optimizer.step()
            schedule.step()
            progress(step + 1)
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}
