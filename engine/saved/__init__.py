"""Numbers that lie on this machine beside the models: directions and sparse autoencoders, known by
what they are."""
