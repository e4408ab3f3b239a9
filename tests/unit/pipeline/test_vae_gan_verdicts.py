"""When a difference is one, which variants there are, and whose settings are whose."""

import math

import pytest

from moksori.errors import UnknownName
from moksori.pipeline.run_config import run_config
from moksori.pipeline.vae_gan_variants import PAIRS, VARIANTS, chosen_variants, overrides_for
from moksori.pipeline.vae_gan_verdicts import MEASURES, Measure, leaders, over_seeds, verdict

MCD = Measure("mcd", "MCD, dB", "MCD", "lower")
COSINE = Measure("similarity", "cosine", "cosine", "higher")
RATIO = Measure("gv_ratio", "global variance", "gv", "one")


def test_a_difference_within_the_larger_spread_is_a_tie() -> None:
    assert verdict(MCD, [5.0, 5.2, 5.1], [6.0, 6.1, 6.2]) == "better"
    assert verdict(MCD, [6.0, 6.1, 6.2], [5.0, 5.2, 5.1]) == "worse"
    assert verdict(COSINE, [0.5, 0.6], [0.8, 0.9]) == "worse"
    # Means 5.5 and 6.0 are nearer than the spread of the first, 0.7.
    assert verdict(MCD, [5.0, 6.0], [6.0, 6.0]) == "tie"
    assert verdict(MCD, [6.0, 6.0], [5.0, 6.0]) == "tie"
    assert verdict(MCD, [5.0, 5.0], [5.0, 5.0]) == "tie"


def test_without_a_spread_nothing_is_told_from_chance() -> None:
    assert verdict(MCD, [5.0], [9.0]) == "-"
    assert verdict(MCD, [5.0, math.nan], [9.0]) == "-"
    assert verdict(MCD, [], [9.0, 9.1]) == "-"
    # One training against three: their spread is what there is.
    assert verdict(MCD, [5.0], [9.0, 9.1, 9.2]) == "better"


def test_of_a_ratio_half_is_as_bad_as_twice() -> None:
    assert verdict(RATIO, [0.9, 0.92], [2.0, 2.01]) == "better"
    assert verdict(RATIO, [0.5, 0.5], [2.0, 2.0]) == "tie"
    assert verdict(RATIO, [0.2, 0.21], [2.0, 2.01]) == "worse"


def test_who_leads_and_who_ties() -> None:
    rows = [[5.0, 5.4], [5.1, 5.2], [7.0, 7.1], [math.nan], [5.2]]
    assert leaders(MCD, rows) == ["tie", "best", "", "", "tie"]
    assert leaders(COSINE, rows) == ["", "", "best", "", ""]
    assert leaders(MCD, [[5.0], [6.0]]) == ["", ""]
    assert leaders(MCD, [[5.0, 5.1], [math.nan]]) == ["", ""]


def test_seeds_that_lack_a_measure_are_left_out() -> None:
    found = over_seeds([1.0, math.nan, 3.0])
    assert (found.mean, found.n) == (2.0, 2)
    assert found.spread == pytest.approx(math.sqrt(2.0))
    assert over_seeds([math.nan]).n == 0


def test_every_pair_and_every_measure_is_there() -> None:
    names = [variant.name for variant in VARIANTS]
    assert names[:8] == ["ae", "vae", "vae-beta", "vqvae-mel", "gan", "vae-gan", "vawgan-clip", "vawgan-gp"]
    assert {name for one, other, _ in PAIRS for name in (one, other)} <= set(names)
    assert len({measure.key for measure in MEASURES}) == len(MEASURES)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_is_what_it_says(variant) -> None:
    config = run_config(variant.preset, variant.assignments(3000, 2))
    assert config.training.max_steps == 3000
    assert config.training.max_minutes is None
    assert config.training.seed == 2
    if config.family.name != "world_vae":
        return
    objective, expected = config.objective, {
        "ae": ("none", 0.0), "vae": ("none", 1.0), "vae-beta": ("none", 4.0), "gan": ("bce", 0.0),
        "vae-gan": ("bce", 1.0), "vawgan-clip": ("clip", 1.0), "vawgan-gp": ("gp", 1.0),
    }  # fmt: skip
    assert (objective.adversarial, objective.kl_weight) == expected[variant.name]
    assert (config.model.encoder is None) == (variant.name == "gan")
    if variant.adversarial_share is not None:
        assert objective.adversarial_from_step == (0 if variant.name == "gan" else 1000)


def test_all_variants_on_worlds_features_have_one_generator() -> None:
    models = [run_config(v.preset, v.assignments(10, 1)).model for v in VARIANTS if v.preset.startswith("world_vae/")]
    assert len(models) == 7
    assert len({model.decoder.model_dump_json() for model in models}) == 1
    assert len({model.model_copy(update={"encoder": None}).model_dump_json() for model in models}) == 1


def test_settings_are_for_all_or_for_one() -> None:
    given = ["training.batch_size=4", "gan:objective.adversarial_weight=3", "vae:training.ema_decay=0.5"]
    by_name = {variant.name: overrides_for(variant, given) for variant in VARIANTS}
    assert by_name["gan"] == ["training.batch_size=4", "objective.adversarial_weight=3"]
    assert by_name["vae"] == ["training.batch_size=4", "training.ema_decay=0.5"]
    assert by_name["ae"] == ["training.batch_size=4"]
    with pytest.raises(UnknownName, match="vae-gan"):
        overrides_for(VARIANTS[0], ["vae-gam:objective.adversarial_weight=3"])


def test_variants_are_chosen_by_name_in_their_order() -> None:
    chosen = chosen_variants(["gan", "ae", "vqvae-mel"], world="world_vae/tiny", vqvae="vqvae/tiny")
    assert [(variant.name, variant.preset) for variant in chosen] == [
        ("ae", "world_vae/tiny"),
        ("vqvae-mel", "vqvae/tiny"),
        ("gan", "world_vae/tiny"),
    ]
    assert len(chosen_variants([])) == len(VARIANTS)
    with pytest.raises(UnknownName, match="vawgan-gp"):
        chosen_variants(["vawgan-pg"])
