"""What tokenizers make of a text: warnings, twins, alignments, numbers."""
