"""The commands: `vitrine up|demo|ingest|search|index|bench`."""
