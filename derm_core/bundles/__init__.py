"""Published models: their cards, files and library, and predictions from them."""
