"""Fine-tune, evaluate and export a model. The only package that imports torch."""
