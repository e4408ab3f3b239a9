"""Short sentences of several requests, spoken as one batch."""

from collections.abc import Callable
from weakref import ref

import torch
from torch.nn.utils.rnn import pad_sequence

from moksori.models.contract import CanSayTogether
from moksori.pipeline.speaker import Line
from moksori.types import SayControls, Spoken, TextBatch

MOST_TOKENS = 240
"""Of a sentence: some twelve seconds. A longer one would keep the others waiting for what is heard last."""
ALIKE = 1.5
"""Times as long as another, in tokens, a sentence may be and still go with it: what is padded is worked on in vain."""


class Together:
    """Sentences that are about to be spoken. Who is asked for its sound first makes that of all that may go along.

    Nobody waits for others to come: a batch is of those who are here, of one model, with the same controls; each has
    noise of its own generator, so a sentence sounds as it would alone. For one thread.
    most: in a batch. told: is called with the size of each.
    """

    def __init__(self, most: int, told: Callable[[int], None] = lambda size: None) -> None:
        self.most, self._told = most, told
        self._waiting: list[ref[Turn]] = []

    def expect(self, model: object, line: Line) -> "Turn | None":
        """A place for a sentence, as long as it is held; None for what is spoken alone."""
        controls, batch = line.controls, line.batch
        plain = SayControls(controls.variation, controls.speed, controls.shift_semitones, controls.duration_mix)
        if batch is None or line.generator is None or batch.durations is not None or controls != plain:
            return None
        if self.most < 2 or batch.tokens.shape[1] > MOST_TOKENS or not isinstance(model, CanSayTogether):
            return None
        turn = Turn(self, model, batch, controls, line.generator)
        self._waiting = [*self._here(), ref(turn)]
        return turn

    def _here(self) -> "list[ref[Turn]]":
        return [waiting for waiting in self._waiting if waiting() is not None]

    def speak(self, first: "Turn") -> None:
        """Gives `first`, and as many others as may go along, their sound; nothing where nobody may."""
        here = [turn for waiting in self._waiting if (turn := waiting()) is not None and turn is not first]
        company = [turn for turn in here if turn.goes_with(first)]
        going = [first, *company[: self.most - 1]]
        self._waiting = [ref(turn) for turn in here if turn not in going]
        if len(going) == 1:
            return
        self._told(len(going))
        texts = [turn.text for turn in going]
        batch = TextBatch(
            tokens=pad_sequence([text.tokens[0] for text in texts], batch_first=True),
            stress=pad_sequence([text.stress[0] for text in texts], batch_first=True),
            token_lengths=torch.cat([text.token_lengths for text in texts]),
            speaker=torch.cat([text.speaker for text in texts]),
        )
        with torch.inference_mode():
            spoken = first.model.say_together(batch, first.controls, [turn.generator for turn in going])
        for row, turn in enumerate(going):
            length, tokens = spoken.waveform_lengths[row : row + 1], turn.text.tokens.shape[1]
            sound = spoken.waveform[row : row + 1, : int(length)]
            turn.spoken = Spoken(sound, length, spoken.durations[row : row + 1, :tokens])


class Turn:
    """The place of one sentence. Whoever holds it is waited for; who lets go of it is not."""

    def __init__(
        self,
        together: Together,
        model: CanSayTogether,
        text: TextBatch,
        controls: SayControls,
        generator: torch.Generator,
    ) -> None:
        self._together = together
        self.model, self.text, self.controls, self.generator = model, text, controls, generator
        self.spoken: Spoken | None = None

    def goes_with(self, other: "Turn") -> bool:
        """Whether both may be of one batch."""
        longest, shortest = sorted((self.text.tokens.shape[1], other.text.tokens.shape[1]), reverse=True)
        same = self.model is other.model and self.controls == other.controls
        return same and longest <= ALIKE * shortest

    def take(self) -> Spoken | None:
        """The sentence's sound; None where nobody was here to speak it with."""
        if self.spoken is None:
            self._together.speak(self)
        return self.spoken
