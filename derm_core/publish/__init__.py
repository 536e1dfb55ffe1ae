"""From a finished run to a published bundle: its statistics, its origin, and the memorisation check."""
