"""Agreement with numbers that another implementation of the method produced.

``python -m ebmlm.testing.parity FOLDER`` checks every file of the two formats below in a folder,
prints the largest error of each quantity, and exits with 1 where one is over its tolerance.

- ``*.json``: a list of cases with flat lists in row-major order of the axes named in ``shape``:
  features and references in, whitened vectors, alignment, diversity, reward, baseline and advantage
  to compare. Tolerance 2e-4. A null is not compared.
- ``*.safetensors``: weights of a tiny model (``model.*``), sequences, documents and completions in,
  log-probabilities at the temperatures named, features, alignment and diversity to compare.
  Tolerance 1e-4.

Whitening cannot tell the two copies of a duplicated rollout apart, so the sign of what is left over
is arbitrary: an alignment that agrees but for its sign counts as agreeing at such a rollout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies.base import EnergyTerms
from ebmlm.energies.feature_matching import cosine, feature_matching_terms, inner_product
from ebmlm.estimators.rloo import leave_one_out_baseline
from ebmlm.features.base import Features
from ebmlm.features.group_whitening import SampleSpaceWhitening
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import LayerIndices
from ebmlm.features.whitening import NoWhitening, Whitening
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import StridedAnchors

__all__ = ["Comparison", "check_folder", "main"]

_WHITENING: dict[str | None, type[Whitening]] = {
    None: NoWhitening,
    "sample": SampleSpaceWhitening,
}


@dataclass(frozen=True)
class Comparison:
    """One quantity of one file: the largest absolute error and what is allowed."""

    source: str
    quantity: str
    error: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the error is within its tolerance (a value that is not finite is not)."""
        return self.error <= self.tolerance


def _error(ours: Tensor, theirs: Tensor, comparable: Tensor | None = None) -> float:
    """Largest difference; by default over everything that is finite in theirs."""
    comparable = theirs.isfinite() if comparable is None else comparable
    difference = (ours - theirs).abs()[comparable]
    return float(difference.max()) if difference.numel() else 0.0


def _duplicated(rollouts: Tensor) -> Tensor:
    """True (batch, anchor, sample) at rollouts whose vector another sample of the group has too."""
    distance = torch.cdist(rollouts, rollouts)
    same = distance < 1e-5
    return same.sum(-1) > 1


def _reward_case(case: dict[str, Any], source: str) -> Iterator[Comparison]:
    shape = case["shape"]
    axes = [shape[name] for name in ("batch", "anchor", "sample", "feature")]

    def tensor(name: str, *sizes: int) -> Tensor:
        values = [float("nan") if value is None else value for value in case[name]]
        return torch.tensor(values, dtype=torch.float64).view(*sizes)

    features = Features(
        tensor("features", *axes), tensor("reference", axes[0], axes[1], axes[3]), (axes[3],)
    )
    mask = torch.ones(axes[0], axes[1], dtype=torch.bool)
    whitening = _WHITENING[case["whitening"]]()
    whitened, references = whitening(features, mask)
    ambiguous = _duplicated(features.rollouts)

    tolerance = 2e-4
    theirs = tensor("whitened", *axes)
    whitened = whitened * _sign(inner_product(whitened, theirs), ambiguous).unsqueeze(-1)
    yield Comparison(source, "whitened", _error(whitened, theirs), tolerance)
    alignment = cosine(whitened, references)
    alignment = alignment * _sign(alignment * tensor("alignment", *axes[:3]), ambiguous)
    products = torch.einsum("b k n f, b k m f -> b k n m", whitened, whitened)
    others = ~torch.eye(axes[2], dtype=torch.bool)
    coefficient = case["diversity_coefficient"]
    pairwise = torch.where(others, 2 * coefficient * products, 0)
    terms = EnergyTerms(-2 * alignment, pairwise)
    baseline = leave_one_out_baseline(terms)
    ours = {
        "alignment": 2 * alignment,
        "diversity": _diversity(terms, coefficient),
        "reward": -terms.per_sample(),
        "baseline": -baseline,
        "advantage": baseline - terms.per_sample(),
    }
    for name, value in ours.items():
        yield Comparison(source, name, _error(value, tensor(name, *axes[:3])), tolerance)


def _sign(agreement: Tensor, ambiguous: Tensor) -> Tensor:
    """-1 where an ambiguous sign came out the other way than theirs, else 1."""
    return torch.where(ambiguous & (agreement < 0), -1.0, 1.0).to(agreement.dtype)


def _diversity(terms: EnergyTerms, coefficient: float) -> Tensor:
    assert terms.pairwise is not None
    return terms.pairwise.sum(-1) / max(terms.samples - 1, 1) / coefficient


def _model(weights: dict[str, Tensor], meta: dict[str, Any]) -> LanguageModel:
    from transformers import AutoConfig, AutoModelForCausalLM

    from ebmlm.transformers_model import TransformersLanguageModel

    config = AutoConfig.for_model(**meta["config"])
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    state = {
        name.removeprefix("model."): value
        for name, value in weights.items()
        if name.startswith("model.")
    }
    model.load_state_dict(state)
    return TransformersLanguageModel(model, end_tokens=())


def _model_case(path: Path) -> Iterator[Comparison]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["meta"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = _model(tensors, meta)
    documents = tensors["documents"] if meta["document_masking"] else None
    batch = SequenceBatch.of(tensors["sequences"], documents=documents)
    horizon = meta["horizon"]
    anchors, mask = StridedAnchors(meta["stride"], meta["context"])(batch, horizon)
    completions = tensors["completions"]

    def rollouts(temperature: float) -> Rollouts:
        return Rollouts.given(batch, anchors, mask, completions, Categorical(temperature))

    tolerance, valid = 1e-4, mask
    prefix = "completion_log_probs_t"
    with torch.no_grad():
        for name in sorted(name for name in tensors if name.startswith(prefix)):
            scored = model.score(rollouts(float(name.removeprefix(prefix)))).completions
            yield Comparison(path.name, name, _error(scored, tensors[name], valid), tolerance)
        features = HiddenStateFeatures(model, LayerIndices(meta["layers"]))(rollouts(1.0))
    assert features.references is not None
    whitening = _WHITENING[meta["whitening"]]()
    whitened, copies = whitening(features, mask)
    terms = feature_matching_terms(features, mask, whitening=whitening, similarity=cosine)
    ambiguous = _duplicated(features.rollouts)
    yield Comparison(
        path.name, "features", _error(features.rollouts, tensors["features"], valid), tolerance
    )
    yield Comparison(
        path.name,
        "reference_features",
        _error(features.references, tensors["reference_features"], valid),
        tolerance,
    )
    alignment = 2 * cosine(whitened, copies)
    alignment = alignment * _sign(alignment * tensors["alignment"], ambiguous)
    error = _error(alignment, tensors["alignment"], valid)
    yield Comparison(path.name, "alignment", error, tolerance)
    diversity = _error(_diversity(terms, 1.0), tensors["diversity"], valid)
    yield Comparison(path.name, "diversity", diversity, tolerance)


def check_folder(folder: Path) -> list[Comparison]:
    """Compare with every file of the two formats in ``folder``.

    Raises:
        FileNotFoundError: if there is none, so that an empty check cannot pass.
    """
    results: list[Comparison] = []
    for path in sorted(folder.glob("*.json")):
        for number, case in enumerate(json.loads(path.read_text())):
            results += _reward_case(case, f"{path.name}[{number}]")
    for path in sorted(folder.glob("*.safetensors")):
        results += _model_case(path)
    if not results:
        raise FileNotFoundError(f"{folder}: no .json or .safetensors file to compare with")
    return results


def main(arguments: list[str]) -> int:
    """Print the comparison with a folder's files; return 1 where one does not agree."""
    if len(arguments) != 1:
        print("usage: python -m ebmlm.testing.parity FOLDER", file=sys.stderr)
        return 2
    try:
        results = check_folder(Path(arguments[0]))
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    for result in results:
        verdict = "agrees" if result.agrees else "DIFFERS"
        print(
            f"{result.source:36} {result.quantity:28}"
            f" {result.error:9.2e} of {result.tolerance:.0e}  {verdict}"
        )
    wrong = sum(not result.agrees for result in results)
    print(f"{len(results)} quantities, {wrong} over tolerance")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
