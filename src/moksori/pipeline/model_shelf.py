"""Models that are in use again and again: loaded once, the ones longest unused let go."""

from collections import OrderedDict
from functools import cached_property

from moksori.models.checkpoint import Loaded, load_model
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.catalogue import Catalogue
from moksori.pipeline.convert import Converter
from moksori.pipeline.speaker import Speaker


class ShelvedModel:
    """A loaded model as what it can be: `speaker`, `converter`; each raises UnsupportedTask where it is none."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    @cached_property
    def speaker(self) -> Speaker:
        return Speaker(self.loaded)

    @cached_property
    def converter(self) -> Converter:
        return Converter(self.loaded)


class ModelShelf:
    """At most `most` loaded models of a catalogue, by name; one thread uses it."""

    def __init__(self, catalogue: Catalogue, most: int = 4, device: str = "cpu") -> None:
        self._catalogue, self._most, self._device = catalogue, most, device
        self._models: OrderedDict[str, ShelvedModel] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """The loaded ones, the longest unused first."""
        return list(self._models)

    def take(self, name: str) -> ShelvedModel:
        """The model of a name; raises UnknownName, CheckpointError for a broken one."""
        listed = self._catalogue.named(name)
        if name not in self._models:
            loaded = load_model(listed.model.folder, device=self._device)
            arranged_for_inference(loaded.model)
            self._models[name] = ShelvedModel(loaded)
            while len(self._models) > self._most:
                self._models.popitem(last=False)  # who still speaks with it keeps it until the end
        self._models.move_to_end(name)
        return self._models[name]
