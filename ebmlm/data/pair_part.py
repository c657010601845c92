"""One part of prompt-completion data: from pairs to rows, with a report of what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ebmlm.data.pair import Pair
from ebmlm.data.pair_rows import PairPacker, PairRows
from ebmlm.data.pair_tokens import PairTokeniser, PairTokens
from ebmlm.data.source import fingerprint
from ebmlm.data.truncation import Truncation

__all__ = ["PairPart", "PairReport", "item_id"]

# Enough texts at a time to keep a parallel tokeniser busy, few enough to stop soon after the rows
# that were asked for are full.
_BATCH = 64


@dataclass(frozen=True)
class PairReport:
    """What became of a part's pairs.

    Attributes:
        rows: rows there are.
        pairs: pairs in them.
        tokens: tokens in them.
        completion_tokens: of these, tokens of completions, ends included.
        prompts_cut: pairs whose prompt was cut to fit.
        completions_cut: pairs whose completion was cut to fit; these have no end.
        too_long: pairs that were dropped because they do not fit.
        no_tokens: pairs that were dropped because nothing in them is predicted, or no tokens of
            the completion alone read as it does after the prompt.
        straddled: pairs whose completion was tokenised apart from its prompt.
        altered: pairs whose completion the tokeniser does not give back as it was.
        unused: pairs that were not looked at because the rows asked for were full.
    """

    rows: int
    pairs: int
    tokens: int
    completion_tokens: int
    prompts_cut: int
    completions_cut: int
    too_long: int
    no_tokens: int
    straddled: int
    altered: int
    unused: int


@dataclass(frozen=True, eq=False)
class PairPart:
    """Rows of one part, the items of their tokens, and a report.

    Attributes:
        rows: the rows.
        items: of each pair in them, its columns by the pair's id, with ``prompt`` and
            ``completion`` as texts.
        report: what became of the pairs.
    """

    rows: PairRows
    items: dict[int, dict[str, Any]]
    report: PairReport

    @classmethod
    def of(
        cls,
        pairs: Sequence[Pair],
        tokeniser: PairTokeniser,
        length: int,
        truncation: Truncation,
        *,
        rows: int | None = None,
        packing: bool = False,
    ) -> PairPart:
        """Tokenise pairs in the order given and lay them in rows.

        Only as many pairs are tokenised as the rows need.

        Args:
            pairs: pairs with an item id of their own each.
            tokeniser: turns them into tokens.
            length: tokens of a row at most.
            truncation: what to do with longer pairs.
            rows: rows at most; with packing, pairs are taken until one fits in none of them.
            packing: whether a row may hold several pairs.

        Raises:
            UserError: for conversations that the chat template cannot write.
        """
        kept: list[tuple[int, PairTokens]] = []
        items: dict[int, dict[str, Any]] = {}
        packer = PairPacker(length)
        counts = dict.fromkeys(("prompts_cut", "completions_cut", "too_long", "no_tokens"), 0)
        seen = 0
        for pair, whole in _tokenised(pairs, tokeniser):
            tokens = None if whole is None else truncation(whole, length)
            if whole is None or len(whole) < 2:
                counts["no_tokens"] += 1
            elif tokens is None:
                counts["too_long"] += 1
            else:
                full = rows is not None and len(packer.rows if packing else kept) == rows
                if full and not (packing and packer.fits(len(tokens))):
                    break
                counts["prompts_cut"] += len(tokens.prompt) < len(whole.prompt)
                counts["completions_cut"] += len(tokens.completion) < len(whole.completion)
                packer.add(len(kept), len(tokens))
                identity = item_id(pair)
                kept.append((identity, tokens))
                items[identity] = {
                    **pair.columns,
                    "prompt": tokens.prompt_text,
                    "completion": tokens.completion_text,
                }
            seen += 1
        laid = PairRows.of(kept, packer.rows if packing else None)
        report = PairReport(
            rows=len(laid),
            pairs=len(kept),
            tokens=len(laid.tokens),
            completion_tokens=int(laid.completions.sum()),
            straddled=sum(tokens.straddled for _, tokens in kept),
            altered=sum(tokens.altered for _, tokens in kept),
            unused=len(pairs) - seen,
            **counts,
        )
        return cls(laid, items, report)


def item_id(pair: Pair) -> int:
    """Return a number of 63 bits that is the same for this pair and key everywhere."""
    return int(fingerprint(f"{pair.key}\0{pair.fingerprint()}")[:16], 16) >> 1


def _tokenised(
    pairs: Sequence[Pair], tokeniser: PairTokeniser
) -> Iterator[tuple[Pair, PairTokens | None]]:
    """Yield each pair with its tokens, tokenising a batch at a time as they are asked."""
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        yield from zip(batch, tokeniser(batch), strict=True)
