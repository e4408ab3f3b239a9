"""How fast is our monotonic alignment search beside the package `monotonic-alignment-search`?

The same random scores, 32 items of 150 tokens and 800 frames, go through our back ends (numba, numpy, torch) and the
package's (cython, numpy) where it is installed; all must return the same durations.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from common import best_of, finish, parser, start

from moksori.nn.alignment import monotonic_durations


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--tokens", type=int, default=150)
    options.add_argument("--frames", type=int, default=800)
    chosen = options.parse_args()
    environment = start(chosen)
    batch, tokens, frames = chosen.batch, chosen.tokens, chosen.frames
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(batch, frames, tokens, generator=generator)
    frame_lengths, token_lengths = torch.full((batch,), frames), torch.full((batch,), tokens)

    def ours(backend: str) -> Callable[[], torch.Tensor]:
        return lambda: monotonic_durations(scores, frame_lengths, token_lengths, backend)

    functions = {"ours, numpy": ours("numpy"), "ours, torch": ours("torch")}
    try:
        import numba

        numba.set_num_threads(min(chosen.threads, numba.get_num_threads()))
        functions = {"ours, numba": ours("numba"), **functions}
    except ImportError:
        print("numba is not installed: pip install 'moksori[fast]'")
    try:
        from monotonic_alignment_search import maximum_path
    except ImportError:
        print("the package is not installed: pip install monotonic-alignment-search")
    else:
        value, mask = scores.transpose(1, 2).contiguous(), torch.ones(batch, tokens, frames)

        def package(implementation: str) -> torch.Tensor:
            return maximum_path(value, mask, implementation=implementation).sum(dim=2).long()

        for implementation in ("cython", "numpy"):
            functions[f"package, {implementation}"] = partial(package, implementation)
    results = {name: function() for name, function in functions.items()}
    reference = next(iter(results.values()))
    for name, durations in results.items():
        # The package may break ties differently; random float32 scores have next to none.
        agreement = float((torch.as_tensor(np.asarray(durations)) == reference).float().mean())
        if agreement < 0.999:
            raise SystemExit(f"{name}: only {agreement:.1%} of the durations agree with {next(iter(results))}")
    times = best_of(functions, chosen.rounds)
    base_name, base = next(iter(times.items()))
    print(f"{batch} x {tokens} tokens x {frames} frames, least of {chosen.rounds}; all agree")
    for name, timing in times.items():
        ratio = timing.cpu / base.cpu
        print(
            f"  {name:16} {1e3 * timing.wall:8.1f} ms wall {1e3 * timing.cpu:8.1f} ms CPU   "
            f"{ratio:6.2f} x the CPU of {base_name}"
        )
    finish("alignment_search", chosen, environment, {"shape": [batch, tokens, frames], "seconds": times})


if __name__ == "__main__":
    main()
