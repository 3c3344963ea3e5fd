"""How things are shown: texts and numbers in words, a model's sites as the axes of a figure."""
