"""What is trained: a backbone, an embedding of named parts, and heads."""
