"""What each site does to the answer, told from runs in which no site is switched: estimated by
gradients, or read from what it writes itself."""
