"""Shape types: one name per tensor layout, so that an annotation says which axes stand where.

Axes are named the same everywhere: ``batch`` (B), ``position`` (T), ``anchor`` (K), ``sample`` (N),
``token`` (G, the horizon), ``reference`` (R), ``feature`` (D), ``vocabulary`` (V). At run time each
name is a torchtyping ``TensorType``; a type checker sees a plain tensor. The test-suite runs with
the checks on, so that an axis that means two sizes within one call is an error.

torchtyping 0.1.5 reads ``Tensor.names``, which torch 2.13 no longer has. Only the two methods that
read it are replaced here, and only where the attribute is gone; torch itself is not touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

__all__ = [
    "Batch",
    "BatchAnchor",
    "BatchAnchorFeature",
    "BatchAnchorPosition",
    "BatchAnchorReference",
    "BatchAnchorSample",
    "BatchAnchorSampleFeature",
    "BatchAnchorSampleSample",
    "BatchAnchorSampleToken",
    "BatchAnchorSampleTokenFeature",
    "BatchNode",
    "BatchPosition",
    "BatchPositionFeature",
    "ContextSample",
    "ContextSampleFeature",
    "Row",
    "RowFeature",
    "RowVocabulary",
    "Scalar",
]

if TYPE_CHECKING:
    from torch import Tensor

    Scalar = Tensor
    Batch = Tensor
    BatchPosition = Tensor
    BatchPositionFeature = Tensor
    BatchNode = Tensor
    BatchAnchor = Tensor
    BatchAnchorFeature = Tensor
    BatchAnchorPosition = Tensor
    BatchAnchorReference = Tensor
    BatchAnchorSample = Tensor
    BatchAnchorSampleFeature = Tensor
    BatchAnchorSampleSample = Tensor
    BatchAnchorSampleToken = Tensor
    BatchAnchorSampleTokenFeature = Tensor
    ContextSample = Tensor
    ContextSampleFeature = Tensor
    Row = Tensor
    RowFeature = Tensor
    RowVocabulary = Tensor
else:
    from torchtyping import TensorType
    from torchtyping.tensor_details import ShapeDetail, _Dim, _no_name

    if not hasattr(torch.Tensor, "names"):

        def _check(self: ShapeDetail, tensor: torch.Tensor) -> bool:
            sizes = [dim.size for dim in self.dims]
            fixed = [size for size in sizes if size is not ...]
            if len(fixed) > tensor.ndim or (len(fixed) == len(sizes) != tensor.ndim):
                return False
            for expected, actual in zip(reversed(sizes), reversed(tensor.shape), strict=False):
                if expected is ...:
                    break
                if not isinstance(expected, str) and expected not in (-1, actual):
                    return False
            return True

        def _tensor_repr(cls: type[ShapeDetail], tensor: torch.Tensor) -> str:
            dims = [_Dim(name=_no_name, size=size) for size in tensor.shape]
            return repr(cls(dims=dims, check_names=False))

        ShapeDetail.check = _check
        ShapeDetail.tensor_repr = classmethod(_tensor_repr)

    # A scalar has no axes, which TensorType cannot spell.
    Scalar = torch.Tensor
    Batch = TensorType["batch"]
    BatchPosition = TensorType["batch", "position"]
    BatchPositionFeature = TensorType["batch", "position", "feature"]
    # A node is any token of the laid-out prefix tree: the trunk's, then the branches'.
    BatchNode = TensorType["batch", "node"]
    BatchAnchor = TensorType["batch", "anchor"]
    BatchAnchorFeature = TensorType["batch", "anchor", "feature"]
    BatchAnchorPosition = TensorType["batch", "anchor", "position"]
    BatchAnchorReference = TensorType["batch", "anchor", "reference"]
    BatchAnchorSample = TensorType["batch", "anchor", "sample"]
    BatchAnchorSampleFeature = TensorType["batch", "anchor", "sample", "feature"]
    BatchAnchorSampleSample = TensorType["batch", "anchor", "sample", "sample"]
    BatchAnchorSampleToken = TensorType["batch", "anchor", "sample", "token"]
    BatchAnchorSampleTokenFeature = TensorType["batch", "anchor", "sample", "token", "feature"]
    # Contexts are anchors of whatever sequences, the invalid ones left out.
    ContextSample = TensorType["context", "sample"]
    ContextSampleFeature = TensorType["context", "sample", "feature"]
    Row = TensorType["row"]
    RowFeature = TensorType["row", "feature"]
    RowVocabulary = TensorType["row", "vocabulary"]
