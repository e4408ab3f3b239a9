"""What exported graphs of Flowtron compute, a text at a time: the text once, then one frame group after the other.

Nothing here depends in Python on the length of a text, so that one trace holds for all of them. All is in evaluation
mode, to which the exporter would otherwise not bring the model back.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.models.flowtron.flows import AffineFlow
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.step import AutoregressiveStep


class TextGraph(nn.Module):
    """Tokens to keys and values of each flow, from the mel to the latent; inputs by their place, as `inputs` has them.

    inputs: tokens, then stress and speaker where the model reads them.
    """

    def __init__(self, model: Flowtron) -> None:
        super().__init__()
        self.model = model
        self.reads_stress = model.config.text_encoder.stress_embedding
        self.reads_speaker = model.speaker_embedding is not None and model.config.num_speakers > 1
        self.eval()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("tokens", *["stress"] * self.reads_stress, *["speaker"] * self.reads_speaker)

    def forward(self, tokens: Int[Tensor, "1 tokens"], *others: Tensor) -> tuple[Tensor, ...]:
        """[1, tokens, channels] each: keys and values of the first flow, of the second, ..."""
        given = dict(zip(self.inputs[1:], others, strict=True))
        encoder = self.model.text_encoder
        x = encoder.embedding(tokens)
        if encoder.stress_embedding is not None:
            x = x + encoder.stress_embedding(given["stress"])
        x, mask = x.transpose(1, 2), torch.ones_like(tokens, dtype=torch.bool).unsqueeze(1)
        for convolution, norm in zip(encoder.convolutions, encoder.norms, strict=True):
            x = F.relu(norm(convolution(x), mask))
        states = encoder.lstm(x.transpose(1, 2))[0]
        vector = self.model.speaker_vector(given.get("speaker", torch.zeros_like(tokens[:, 0])))
        if vector is not None:
            states = torch.cat([states, vector.unsqueeze(1).expand(-1, states.shape[1], -1)], dim=2)
        made: list[Tensor] = []
        for flow in self.model.flows:
            assert isinstance(flow, AffineFlow)
            projected = flow.step.attention.project(states, mask[:, 0])
            made += [projected.keys, projected.values]
        return tuple(made)


class StepGraph(nn.Module):
    """One step of one flow's inverse: x = (z - b) · exp(-s)."""

    def __init__(self, step: AutoregressiveStep) -> None:
        super().__init__()
        self.step = step
        self.eval()

    def forward(
        self,
        z: Float[Tensor, "1 channels"],
        before: Float[Tensor, "1 channels"],
        keys: Float[Tensor, "1 tokens attention"],
        values: Float[Tensor, "1 tokens attention"],
        allowed: Bool[Tensor, "1 tokens"],
        state_h: Float[Tensor, "layers 1 hidden"],
        state_c: Float[Tensor, "layers 1 hidden"],
        *text: Tensor,
    ) -> tuple[Tensor, ...]:
        """x, the attention's weights, the new states, and the gate's probability in the flow that has one.

        before: the x of the step before, zeros at first. state_h, state_c: of the attention's LSTM, then of the
        decoder's layers; zeros at first. allowed: where the attention may look. text, in a step with a text mean: the
        states h and c of its LSTM [1, 1, channels] and the mean of the step before [1, channels], zeros at first; their
        new ones come out before the gate.
        """
        step = self.step
        hidden, h, c = _lstm(step.attention_lstm, 0, before, state_h[0], state_c[0])
        energy = torch.tanh(step.attention.query(hidden).unsqueeze(1) + keys) @ step.attention.score.weight[0]
        weights = energy.masked_fill(~allowed, -1e9).softmax(dim=1)
        context = (weights.unsqueeze(1) @ values)[:, 0]
        read = torch.cat([hidden, context], dim=1)
        kept_h, kept_c, x, left = [h], [c], read, before
        told: Tensor | None = None
        new_text: tuple[Tensor, ...] = ()
        if step.text_mean is not None:
            text_h, text_c, mean_before = text
            text_read, h, c = _lstm(step.text_mean.lstm, 0, context, text_h[0], text_c[0])
            told = torch.cat([text_read, context], dim=1)
            left, new_text = before - mean_before, (h.unsqueeze(0), c.unsqueeze(0))
            x = torch.cat([read, left], dim=1)
        for layer in range(step.decoder_lstm.num_layers):
            x, h, c = _lstm(step.decoder_lstm, layer, x, state_h[layer + 1], state_c[layer + 1])
            kept_h.append(h)
            kept_c.append(c)
        for dense in step.dense:
            x = torch.tanh(dense(x))
        log_scale, shift = step.head(x).chunk(2, dim=1)
        limit = step.log_scale_limit
        log_scale = log_scale if limit is None else limit * torch.tanh(log_scale / limit)
        x, mean = step.solved(z, log_scale, shift, left, told)
        new_text = new_text if mean is None else (*new_text, mean)
        found = (x, weights, torch.stack(kept_h), torch.stack(kept_c), *new_text)
        return found if step.gate is None else (*found, torch.sigmoid(step.gate(read))[:, 0])


def _lstm(network: nn.LSTM, layer: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step of one layer: its output, which is the new h, and the new states."""
    of_x, of_h, bias_x, bias_h = (
        getattr(network, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    entering, forgetting, new, leaving = (F.linear(x, of_x, bias_x) + F.linear(h, of_h, bias_h)).chunk(4, dim=1)
    c = torch.sigmoid(forgetting) * c + torch.sigmoid(entering) * torch.tanh(new)
    h = torch.sigmoid(leaving) * torch.tanh(c)
    return h, h, c


class LatentGraph(nn.Module):
    """A latent, frame by frame, as the last flow has it: groups of frames."""

    def __init__(self, model: Flowtron) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, latent: Float[Tensor, "1 bands frames"]) -> Float[Tensor, "1 groups channels"]:
        return self.model.stacked(latent)


class MelGraph(nn.Module):
    """What the first flow's inverse gives as a natural log-mel, as it is spoken."""

    def __init__(self, model: Flowtron) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, x: Float[Tensor, "1 groups channels"]) -> Float[Tensor, "1 mels frames"]:
        return self.model.spoken_mel(self.model.frames_of(x))
