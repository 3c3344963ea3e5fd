"""How an answer's scores grow with the number of terms that a prompt shows."""
