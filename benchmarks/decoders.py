"""What do the three decoders of VITS cost: seconds of work per second of sound, and parameters?

Each decoder gets the same random latents (96 channels, 22.05 kHz) with random weights: cost does not depend on them.
`hifigan` is the paper's V1; `istft` and `homomorphic` are those of `vits/compact`.
"""

from collections.abc import Callable

import torch
from common import best_of, finish, parser, start

from moksori.models.decoders.config import HifiganConfig, HomomorphicConfig, IstftConfig
from moksori.models.decoders.decoders import Decoder, build_decoder
from moksori.models.vits.config import VitsConfig


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--seconds", type=float, default=4.0, help="of sound a call (default 4)")
    chosen = options.parse_args()
    environment = start(chosen)
    torch.manual_seed(0)
    decoders: dict[str, Decoder] = {}
    for kind in (HomomorphicConfig(), IstftConfig(), HifiganConfig()):
        config = VitsConfig(latent_channels=96, weight_norm=False, decoder=kind)
        decoders[kind.kind] = build_decoder(config.decoder, config.mel, config.latent_channels).eval()
    mel = config.mel
    frames = round(chosen.seconds * mel.sample_rate / mel.hop_length)
    z = torch.randn(1, 96, frames)
    sound = frames * mel.hop_length / mel.sample_rate

    def render(name: str) -> Callable[[], None]:
        def call() -> None:
            with torch.inference_mode():
                decoders[name](z, generator=torch.Generator().manual_seed(0))

        return call

    times = best_of({name: render(name) for name in decoders}, chosen.rounds, warm_up=2)
    parameters = {name: sum(p.numel() for p in decoder.parameters()) for name, decoder in decoders.items()}
    slowest = times["hifigan"].cpu
    print(f"{sound:.2f} s of sound a call, fp32, least of {chosen.rounds}")
    for name, timing in times.items():
        print(
            f"  {name:14} {parameters[name] / 1e6:6.2f} M parameters   real-time factor {timing.wall / sound:.4f} wall "
            f"{timing.cpu / sound:.4f} CPU   {slowest / timing.cpu:6.1f} x faster than hifigan"
        )
    figures = {"sound_seconds": sound, "parameters": parameters, "seconds": times}
    finish("decoders", chosen, environment, figures)


if __name__ == "__main__":
    main()
