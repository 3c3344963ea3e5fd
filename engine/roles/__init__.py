"""What heads do to words, from the weights: copy them, say the next one, or its name elsewhere."""
