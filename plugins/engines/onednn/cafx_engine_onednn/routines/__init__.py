"""One module per layer type: how oneDNN runs it."""
