"""Whether a loaded model does what is said of it: tried, measured, and read by anyone."""
