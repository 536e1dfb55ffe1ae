"""Looking inside: maps of an extractor's space and neighbours."""
