"""What README shows, made by commands: `python -m docs.pictures`."""
