"""The Logit lens page."""
