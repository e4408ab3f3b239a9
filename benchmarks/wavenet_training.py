"""How long does a training step of a causal WaveNet take item by item, and how long torch's own way?

The same network, codes and conditions, forward, cross-entropy and backward, under bfloat16 autocast: through
`nn.wavenet_cached`, and through the same layers as torch runs them, in bfloat16 and in float32. Losses and gradients
must agree as far as bfloat16 lets them, or the benchmark stops.

    python benchmarks/wavenet_training.py
    python benchmarks/wavenet_training.py --shape 128/128/40 --batch 2
"""

from collections.abc import Callable
from unittest.mock import patch

import torch
from common import best_of, finish, parser, start

from moksori.nn.mulaw import code_nats
from moksori.nn.wavenet import WaveNetStack
from moksori.nn.wavenet_network import WaveNet, cycled_dilations

TOLERANCE = 1.3
"""Times as far as torch's own bfloat16 the gradients may be from float32's."""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--shape", default="32/64/20", help="residual and skip channels, layers in cycles of 10")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--samples", type=int, default=6400, help="of an item, in whole hops of 80")
    chosen = options.parse_args()
    environment = start(chosen)
    residual, skip, layers = (int(part) for part in chosen.shape.split("/"))
    torch.manual_seed(0)
    network = WaveNet(
        256,
        residual,
        skip,
        cycled_dilations(10, layers // 10),
        condition_channels=34,
        vector_channels=64,
        hop_length=80,
    )
    codes = torch.randint(0, 256, (chosen.batch, chosen.samples))
    condition, vector = torch.randn(chosen.batch, 34, chosen.samples // 80), torch.randn(chosen.batch, 64)

    def step(half: bool, cached: bool) -> torch.Tensor:
        network.zero_grad()
        with patch.object(WaveNetStack, "_is_cached", WaveNetStack._is_cached if cached else lambda *_: False):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = network(codes, condition, vector)
            code_nats(logits, codes).mean().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    ways: dict[str, Callable[[], torch.Tensor]] = {
        "item by item": lambda: step(True, True),
        "torch, bfloat16": lambda: step(True, False),
        "torch, float32": lambda: step(False, False),
    }
    gradients = {name: way() for name, way in ways.items()}
    true = gradients["torch, float32"]
    off = {name: float((gradient - true).norm() / true.norm()) for name, gradient in gradients.items()}
    for name, share in off.items():
        print(f"  {name:16} gradients differ from float32's by {share:.4f} of their norm")
    if off["item by item"] > TOLERANCE * off["torch, bfloat16"]:
        raise SystemExit(f"item by item: more than {TOLERANCE} times torch's bfloat16")
    times = best_of(ways, chosen.rounds)
    base = times["item by item"]
    print(f"{chosen.shape}, {chosen.batch} x {chosen.samples} samples, least of {chosen.rounds}")
    for name, timing in times.items():
        print(f"  {name:16} {timing.cpu:6.3f} CPU s   {timing.cpu / base.cpu:5.2f} x item by item")
    finish("wavenet_training", chosen, environment, {"shape": chosen.shape, "batch": chosen.batch, "seconds": times})


if __name__ == "__main__":
    main()
