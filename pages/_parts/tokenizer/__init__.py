"""The Tokenizer page."""
