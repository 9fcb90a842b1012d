"""How it is trained: losses, learning rate, checkpoints."""
