"""What each site does, by gradients: no run is changed."""
