"""Data: sources of texts and of pairs, the split in parts, tokens, packing and collation."""

from __future__ import annotations

from ebmlm.data.base import PreparedData, RunData
from ebmlm.data.collate import PaddingSide, collate
from ebmlm.data.conventions import Convention, Messages, PlainText, PromptCompletion
from ebmlm.data.excerpts import excerpts, shuffled
from ebmlm.data.files import TextFiles
from ebmlm.data.hugging_face import DatasetDocuments, HuggingFaceDataset
from ebmlm.data.json_lines import JsonLines
from ebmlm.data.near_copies import NearCopies, Overlap
from ebmlm.data.packing import PackedText, PackingReport
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.pair_data import PairData
from ebmlm.data.pair_part import PairReport
from ebmlm.data.pair_rows import PairRows
from ebmlm.data.pair_sources import DatasetPairs, HuggingFacePairs, JsonLinesPairs
from ebmlm.data.pair_tokens import PairTokeniser, PairTokens
from ebmlm.data.row import TextRow
from ebmlm.data.source import Corpus, Document, TextSource
from ebmlm.data.split import Division, HashSplit, HeldOutSource, Part, Split
from ebmlm.data.standard_library import StandardLibrary
from ebmlm.data.text_data import TextData
from ebmlm.data.truncation import DropLong, KeepPromptEnd, Truncation

__all__ = [
    "Convention",
    "Corpus",
    "DatasetDocuments",
    "DatasetPairs",
    "Division",
    "Document",
    "DropLong",
    "HashSplit",
    "HeldOutSource",
    "HuggingFaceDataset",
    "HuggingFacePairs",
    "JsonLines",
    "JsonLinesPairs",
    "KeepPromptEnd",
    "Messages",
    "NearCopies",
    "Overlap",
    "PackedText",
    "PackingReport",
    "PaddingSide",
    "Pair",
    "PairData",
    "PairReport",
    "PairRows",
    "PairSource",
    "PairTokeniser",
    "PairTokens",
    "Part",
    "PlainText",
    "PreparedData",
    "PromptCompletion",
    "RunData",
    "Split",
    "StandardLibrary",
    "TextData",
    "TextFiles",
    "TextRow",
    "TextSource",
    "Truncation",
    "collate",
    "excerpts",
    "shuffled",
]
