"""How the two bundled models are made: corpus, tokenizers, training, cards. `make models`."""
