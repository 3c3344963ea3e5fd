"""One model: found, read from disk, hooked, and run by one thread."""
