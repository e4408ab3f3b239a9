"""The variants of the comparison: one preset each, and what makes it the variant. The rest is equal for all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from moksori.errors import unknown_name

WORLD, VQVAE, DSVAE = "world_vae/vawgan_compact", "vqvae/compact", "dsvae/study"


@dataclass(frozen=True)
class Variant:
    """One model of the comparison. note: what it is. settings: what makes the preset this variant.

    adversarial_share: of the steps, after which the adversarial phase begins; None: there is none.
    """

    name: str
    note: str
    preset: str
    settings: tuple[str, ...] = ()
    adversarial_share: float | None = None

    @property
    def family(self) -> str:
        """That its preset has to be of."""
        return next(known.preset for known in VARIANTS if known.name == self.name).partition("/")[0]

    def assignments(self, steps: int, seed: int) -> list[str]:
        """Overrides of the preset for a run of so many steps."""
        found = [*self.settings, f"training.max_steps={steps}", "training.max_minutes=null", f"training.seed={seed}"]
        if self.adversarial_share is not None:
            found.append(f"objective.adversarial_from_step={round(self.adversarial_share * steps)}")
        return found


_THIRD = 1.0 / 3.0
"""Reconstruction alone comes first: 1,000 of 3,000 steps in the small configuration of the specification. The weight of
a clipped critic is the authors', who divide W by the clip value as we do; that of the others is the preset's."""

VARIANTS: Sequence[Variant] = (
    Variant("ae", "reconstruction alone", WORLD, ("objective.adversarial=none", "objective.kl_weight=0")),
    Variant("vae", "reconstruction and KL", WORLD, ("objective.adversarial=none", "objective.kl_weight=1")),
    Variant("vae-beta", "the same with four times the KL", WORLD,
            ("objective.adversarial=none", "objective.kl_weight=4")),
    Variant("vqvae-mel", "codes of a codebook, mels through the vocoder", VQVAE),
    Variant("gan", "noise and a speaker against a min-max critic: nothing tells it what is said", WORLD,
            ("model.encoder=null", "objective.adversarial=bce", "objective.kl_weight=0",
             "objective.reconstruction_weight=0"), 0.0),
    Variant("vae-gan", "the VAE, its conversions against a min-max critic", WORLD,
            ("objective.adversarial=bce", "objective.kl_weight=1"), _THIRD),
    Variant("vawgan-clip", "the VAE, its conversions against a Wasserstein critic with clipped weights", WORLD,
            ("objective.adversarial=clip", "objective.kl_weight=1", "objective.adversarial_weight=5"), _THIRD),
    Variant("vawgan-gp", "the same with a gradient penalty", WORLD,
            ("objective.adversarial=gp", "objective.kl_weight=1"), _THIRD),
    Variant("dsvae", "D-DSVAE, small, trained on the same", DSVAE),
)  # fmt: skip

PAIRS: Sequence[tuple[str, str, str]] = (
    ("vae", "ae", "what the KL term buys"),
    ("vae-beta", "vae", "what more of it buys"),
    ("vqvae-mel", "vae", "codes instead of a Gaussian"),
    ("gan", "vae", "an adversary alone"),
    ("vae-gan", "vae", "what a min-max critic adds"),
    ("vawgan-clip", "vae", "what a clipped Wasserstein critic adds"),
    ("vawgan-gp", "vae", "what a penalised Wasserstein critic adds"),
    ("vawgan-gp", "vae-gan", "Wasserstein instead of min-max"),
    ("vawgan-gp", "vawgan-clip", "penalty instead of clipping"),
    ("vae", "dsvae", "frame by frame instead of a whole utterance"),
)
"""Whom the report compares with whom, and what their difference answers."""


def overrides_for(variant: Variant, given: Sequence[str], variants: Iterable[Variant] = VARIANTS) -> list[str]:
    """Those of `key.path=value`, and of `VARIANT:key.path=value`, that are for this variant.

    Raises UnknownName for a variant that is none.
    """
    known, found = {v.name for v in variants}, []
    for assignment in given:
        name, colon, _ = assignment.partition("=")[0].partition(":")
        if not colon:
            found.append(assignment)
        elif name not in known:
            raise unknown_name("variant", name, known)
        elif name == variant.name:
            found.append(assignment.removeprefix(f"{name}:"))
    return found


def chosen_variants(
    names: Iterable[str], world: str = WORLD, vqvae: str = VQVAE, dsvae: str = DSVAE
) -> tuple[Variant, ...]:
    """The variants of these names in their order here, all where none is named, on other presets of their families.

    Raises UnknownName with the nearest.
    """
    wanted, known = list(names), {variant.name for variant in VARIANTS}
    for name in wanted:
        if name not in known:
            raise unknown_name("variant", name, known)
    presets = {WORLD: world, VQVAE: vqvae, DSVAE: dsvae}
    return tuple(
        replace(variant, preset=presets[variant.preset]) for variant in VARIANTS if not wanted or variant.name in wanted
    )
