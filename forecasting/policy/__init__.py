"""Export policies as data: their terms, and which chips are eligible under them."""
