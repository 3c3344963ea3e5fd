"""The two tokenizers, trained on the corpus: GPT-2's byte-level BPE, and Llama's SentencePiece."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import GPT2Tokenizer

GPT2_VOCAB = 1900
LLAMA_VOCAB = 1100
CONTEXT = 128
_END = "<|endoftext|>"


def whole_numbers(most: int = 320) -> list[str]:
    """Numbers on their own, so that each becomes a token with and without a space before it."""
    return [text for n in range(most) for text in (f"{n}", f"x {n}")] * 40


def save_gpt2_tokenizer(lines: Iterable[str], directory: Path) -> None:
    """Byte-level BPE with GPT-2's splitting: ` 12` is one token, and no BOS unless asked."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [*lines, *whole_numbers()],
        trainers.BpeTrainer(
            vocab_size=GPT2_VOCAB,
            special_tokens=[_END],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    GPT2Tokenizer(
        tokenizer_object=tokenizer,
        bos_token=_END,
        eos_token=_END,
        unk_token=_END,
        model_max_length=CONTEXT,
    ).save_pretrained(directory)


def save_llama_tokenizer(lines: Iterable[str], directory: Path) -> None:
    """SentencePiece BPE as Llama-2's: split digits, byte fallback, dummy space, BOS by itself."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in lines for line in text.split("\n") if line]),
        model_writer=model,
        model_type="bpe",
        vocab_size=LLAMA_VOCAB,
        split_digits=True,
        byte_fallback=True,
        add_dummy_prefix=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.model").write_bytes(model.getvalue())
    _as_hugging_face(model.getvalue()).save(str(directory / "tokenizer.json"))
    special = {
        name: {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
               "single_word": False}
        for name, text in (("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"))
    }  # fmt: skip
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        **{name: {"__type": "AddedToken", **token} for name, token in special.items()},
        "clean_up_tokenization_spaces": False,
        "legacy": False,
        "model_max_length": CONTEXT,
        "pad_token": None,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
    }
    for name, content in (("special_tokens_map", special), ("tokenizer_config", config)):
        (directory / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _as_hugging_face(model: bytes) -> Tokenizer:
    """The same BPE for the `tokenizers` library, merges in the order of SentencePiece's scores."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)  # type: ignore[attr-defined]
    vocab = {piece.piece: i for i, piece in enumerate(proto.pieces)}
    learned = [p for p in proto.pieces if p.type == p.NORMAL]
    merges = [
        (p.piece[:cut], p.piece[cut:])
        for p in sorted(learned, key=lambda p: -p.score)
        for cut in range(1, len(p.piece))
        if p.piece[:cut] in vocab and p.piece[cut:] in vocab
    ]
    tokenizer = Tokenizer(
        models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False, special=True) for text in ("<unk>", "<s>", "</s>")]
    )
    return tokenizer
