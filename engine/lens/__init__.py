"""The logit lens: what the model would say after each layer."""
