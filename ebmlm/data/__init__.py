"""Data: text sources, the split between training and validation, packing and collation."""

from __future__ import annotations

from ebmlm.data.base import PreparedData, RunData
from ebmlm.data.collate import PaddingSide, collate
from ebmlm.data.excerpts import excerpts, shuffled
from ebmlm.data.files import TextFiles
from ebmlm.data.hugging_face import DatasetDocuments, HuggingFaceDataset
from ebmlm.data.json_lines import JsonLines
from ebmlm.data.packing import PackedText, PackingReport
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.row import TextRow
from ebmlm.data.source import Corpus, Document, TextSource
from ebmlm.data.split import Division, HashSplit, HeldOutSource, Part, Split
from ebmlm.data.standard_library import StandardLibrary
from ebmlm.data.text_data import TextData

__all__ = [
    "Corpus",
    "DatasetDocuments",
    "Division",
    "Document",
    "HashSplit",
    "HeldOutSource",
    "HuggingFaceDataset",
    "JsonLines",
    "PackedText",
    "PackingReport",
    "PaddingSide",
    "Pair",
    "PairSource",
    "Part",
    "PreparedData",
    "RunData",
    "Split",
    "StandardLibrary",
    "TextData",
    "TextFiles",
    "TextRow",
    "TextSource",
    "collate",
    "excerpts",
    "shuffled",
]
