"""Texts that are tokenised in pieces have the tokens, and the places of tokens, that they have as a whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lora_trainer.data.template import pieces
from lora_trainer.data.template.pieces import PieceTokenizer
from support.chat_models import FAMILIES, tokenizer

WORDS = "  two lines\n\n of  text, with 17 numbers, an umlaut ö, a 🙂 and a\ttab  "
TEXTS = [
    f"<|turn|>user\n{WORDS}<|end|>\n<|turn|>assistant\n{WORDS}<|end|>\n",
    f"<|turn|>user\n{WORDS}<|end|>\n<|turn|>assistant\nYes.<|end|>\n<|turn|>",
    f"{WORDS}<|turn|><|end|> <tool> {WORDS} </tool>",
    "no special token at all",
    "<|end|>",
    " ",
    "",
]


def _trained(change: Callable[[Tokenizer], None], **options: bool) -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token=None, byte_fallback=False))
    change(made)
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator([WORDS, "user assistant Yes"] * 3, trainer)
    made.add_special_tokens([AddedToken(text, normalized=False, **options) for text in ("<|turn|>", "<|end|>")])
    made.add_tokens([AddedToken(text, normalized=True) for text in ("<tool>", "</tool>")])
    return made


def _byte_level(made: Tokenizer) -> None:
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.decoder = decoders.ByteLevel()


def _with_normalizer(made: Tokenizer) -> None:
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def _spaced(made: Tokenizer) -> None:
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.post_processor = processors.ByteLevel(trim_offsets=True)


def _first_marked(made: Tokenizer) -> None:
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")


def _trimmed(made: Tokenizer) -> None:
    _byte_level(made)
    made.post_processor = processors.ByteLevel(trim_offsets=True)


def _of_family(family: str) -> Tokenizer:
    return tokenizer(family).backend_tokenizer


MADE: dict[str, Callable[[], Tokenizer]] = {
    "byte level": lambda: _trained(_byte_level),
    "a normalizer that puts a mark in front": lambda: _trained(_with_normalizer),
    "special tokens that take in white space": lambda: _trained(_byte_level, rstrip=True, lstrip=True),
    "a space in front of each text": lambda: _trained(_spaced),
    "a mark in front of the first word": lambda: _trained(_first_marked),
    "places without white space": lambda: _trained(_trimmed),
    "special tokens that are whole words": lambda: _trained(_byte_level, single_word=True),
    **{family: partial(_of_family, family) for family in FAMILIES},
}


@pytest.mark.parametrize("kind", MADE)
def test_pieces_give_the_tokens_and_places_of_the_whole_text(kind: str) -> None:
    backend = MADE[kind]()
    in_pieces = PieceTokenizer(backend)
    texts = [*TEXTS, *(text.replace("<|turn|>", token) for text in TEXTS for token in _some_tokens(backend))]

    # Twice, so that the second time every piece is known; of each text other characters were announced.
    for announced in ([], [0, 5, 40]):
        found = in_pieces.tokenise(texts, [[at for at in announced if at < len(text)] for text in texts])
        for text, tokens in zip(texts, found, strict=True):
            whole = backend.encode(text, add_special_tokens=False)
            assert tokens.ids.tolist() == whole.ids, text
            assert [tokens.char_to_token(at) for at in range(len(text) + 2)] == [
                whole.char_to_token(at) for at in range(len(text) + 2)
            ], text
            assert [tokens.token_to_chars(at) for at in range(len(whole.ids))] == [
                whole.token_to_chars(at) for at in range(len(whole.ids))
            ], text


def _some_tokens(backend: Tokenizer) -> list[str]:
    return [token.content for token in backend.get_added_tokens_decoder().values()][:4]


class _Counting:
    """A tokenizer that remembers what it was asked to tokenise."""

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
        self.asked += texts
        return self._backend.encode_batch_fast(texts, **options)


@pytest.mark.parametrize("kind", ["byte level", "a normalizer that puts a mark in front"])
def test_a_piece_that_comes_again_is_tokenised_once(kind: str) -> None:
    backend = _Counting(MADE[kind]())
    in_pieces = PieceTokenizer(backend)
    texts = [f"<|turn|>system\nBe kind.<|end|><|turn|>user\n{number}<|end|>" for number in range(3)]

    in_pieces.tokenise([*texts, texts[0]], [[]] * 4)
    in_pieces.tokenise(texts, [[]] * 3)

    assert sorted(backend.asked) == ["system\nBe kind.", "user\n0", "user\n1", "user\n2"]


def test_what_is_remembered_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_MOST_KNOWN", 1000)
    backend = _Counting(MADE["byte level"]())
    in_pieces = PieceTokenizer(backend)

    # Of many pieces the last few are known, and the first has to be tokenised again.
    for number in [*range(100), 99, 0]:
        in_pieces.tokenise([f"<|turn|>{number}"], [[]])

    assert backend.asked == [*(str(number) for number in range(100)), "0"]
