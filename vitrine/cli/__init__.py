"""The commands: `vitrine up|demo|ingest|search|index|dlq|topics|train|eval|export|model|bench`."""
