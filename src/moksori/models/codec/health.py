"""How a codec's run is doing: whether its codebooks are used, and each of them for something."""

from collections.abc import Mapping

from moksori.models.health import Reading, Readings

WELL_PERPLEXITY_SHARE = 1 / 4
WELL_USED_SHARE = 1 / 2


def health(measures: Mapping[str, float], codes: int, stages: int) -> list[Reading]:
    """The readings of what validation measured. codes: entries of a codebook.

    perplexity_J, used_J: of the running counts of stage J, from 1 on. half_distance: mel distance with half the stages,
    against `distance` with all.
    """
    readings = Readings(measures)
    remedy = "raise model.quantizer.restart_below, train on, or take fewer codes"
    for stage in range(1, stages + 1):
        readings.read(
            f"perplexity of stage {stage}", f"perplexity_{stage}", WELL_PERPLEXITY_SHARE * codes, float(codes),
            f"of {codes}", f"few codes do most of the work: {remedy}",
        )  # fmt: skip
        readings.read(
            f"codes in use in stage {stage}", f"used_{stage}", WELL_USED_SHARE * codes, float(codes), f"of {codes}",
            f"codes lie idle: {remedy}",
        )  # fmt: skip
    return readings.found
