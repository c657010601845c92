"""A learned energy: what a language model has wrong, as a scalar on top of a network.

Deng et al. 2020; docs/residual.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.energies.heads import Head
from ebmlm.energies.representations import Representation
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = ["ResidualEnergy", "ResidualModule"]

_OPTIONS = "energy.json"
_WEIGHTS = "energy.safetensors"


class ResidualModule(nn.Module):
    """What of a learned energy trains: its head, and the network under it where that trains.

    As ``EBMTrainer`` takes it. Its ``forward`` is a place for wrappers to hook in
    (:func:`ebmlm.training.redirection.forward_through`) and computes nothing by itself.
    """

    def __init__(self, head: Head, network: nn.Module | None) -> None:
        super().__init__()
        self.head = head
        if network is not None:
            self.network = network

    def forward(self) -> Tensor:
        """Refuse: vectors come from a representation.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("call ResidualEnergy.values(rollouts) instead")

    def save(self, folder: Path | str) -> None:
        """Write shape (JSON) and weights (safetensors) into ``folder``."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu() for name, value in self.state_dict().items()}
        partial = path / f"{_WEIGHTS}.partial"
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)
        partial.replace(path / _WEIGHTS)
        text = json.dumps({"head": self.head.options()}, indent=2)
        partial = path / f"{_OPTIONS}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path / _OPTIONS)


class ResidualEnergy(Energy):
    """``E(c, y)``, a learned scalar in nats on what a network sees of a completion.

    As an energy it carries no gradient, and adds, scales and makes targets like any other:
    ``EnergyModel(language_model, residual)``. To train it, :meth:`values` has one.

    Args:
        representation: what the head reads.
        head: from that to a number.

    Raises:
        UserError: where their widths differ.
    """

    def __init__(self, representation: Representation, head: Head) -> None:
        if representation.width is not None and representation.width != head.width:
            raise UserError(
                f"a head for vectors of {head.width} features and a representation of"
                f" {representation.width}: make them the same"
            )
        self.representation = representation
        self.module = ResidualModule(head, representation.network)

    def values(self, rollouts: Rollouts) -> BatchAnchorSample:
        """``E(c, y)`` (batch, anchor, sample) with gradient; zero at invalid anchors."""
        vectors = self.representation(rollouts).rollouts
        return self._read(vectors, rollouts.anchor_mask.unsqueeze(-1))

    def contrast(self, rollouts: Rollouts) -> tuple[BatchAnchor, BatchAnchorSample]:
        """Energies of the real continuations and of the rollouts, with gradient, from one pass."""
        vectors = self.representation(rollouts)
        if vectors.references is None:
            raise UserError("a representation without references cannot read the real continuation")
        valid = rollouts.anchor_mask
        real = self._read(vectors.references, valid)
        return real, self._read(vectors.rollouts, valid.unsqueeze(-1))

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        values = self.values(rollouts)
        return EnergyTerms(values, metrics={"residual_energy": values.mean(-1)})

    @torch.no_grad()
    def add_constant(self, nats: float) -> None:
        """Add a number to every energy, in place; minus log Z for a target that sums to one."""
        self.module.head.output.bias.add_(nats)

    def save(self, folder: Path | str) -> None:
        """Write ``energy.json`` and ``energy.safetensors``; see :meth:`load`."""
        self.module.save(folder)

    @classmethod
    def load(cls, folder: Path | str, representation: Representation) -> ResidualEnergy:
        """Return the energy that was saved in ``folder``.

        Args:
            folder: what :meth:`save`, or a run's ``checkpoint/``, wrote.
            representation: made as it was for training; where its network trained, that network's
                weights are replaced by the saved ones.

        Raises:
            UserError: for files that are missing or damaged, or another representation.
        """
        path = Path(folder)
        try:
            options = json.loads((path / _OPTIONS).read_text(encoding="utf-8"))
            weights = load_file(path / _WEIGHTS)
            head = Head.of(options["head"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise UserError(
                f"{path} holds no energy that can be read ({error}): name a folder with {_OPTIONS}"
                f" and {_WEIGHTS}, such as a run's checkpoint/"
            ) from error
        energy = cls(representation, head.to(weights["head.output.weight"].dtype))
        try:
            energy.module.load_state_dict(weights)
        except RuntimeError as error:
            raise UserError(
                f"{path} was saved with another representation ({' '.join(str(error).split())}):"
                " make it as it was for training"
            ) from error
        return energy

    def _read(self, vectors: Tensor, valid: Tensor) -> Tensor:
        return torch.where(valid, self.module.head(vectors), 0)
