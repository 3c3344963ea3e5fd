"""Every head and every MLP ablated alone."""
