"""Export policies as data: their terms, and which chips they let through."""
